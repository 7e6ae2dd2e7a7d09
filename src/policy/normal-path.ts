/** Tells paths that are normal already, so that only others are taken apart. */
import type { PathNormalization } from "../model/mesh-config.ts";
import { isCanonicalCode } from "./canonicalize-path.ts";

const HASH = 0x23;
const DOT = 0x2e;
export const SLASH = 0x2f;
const QUESTION = 0x3f;
/** `~`: after it come DEL and what is not ASCII. */
export const LAST_GRAPHIC = 0x7e;

/**
 * Whether normalizing would change nothing, in one pass without allocation: true of nearly all requests.
 * INVARIANT: true only where normalizePath would return the same text; false costs time, no more.
 */
export function isNormalPath(mode: PathNormalization, target: string): boolean {
  if (target.charCodeAt(0) !== SLASH) return false;
  let previous = 0;
  for (let at = 0; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code === QUESTION) return hasOnlyGraphics(target, at);
    if (!isCanonicalCode(code)) return false;
    if (previous === SLASH && (code === DOT || (code === SLASH && mode !== "NONE" && mode !== "BASE")))
      return false;
    previous = code;
  }
  return true;
}

/** Whether a query has no character that would be cut or refused. */
function hasOnlyGraphics(target: string, from: number): boolean {
  for (let at = from; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code <= 0x20 || code > LAST_GRAPHIC || code === HASH) return false;
  }
  return true;
}
