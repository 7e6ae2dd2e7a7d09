/**
 * Path normalisation, as Envoy does it for MeshConfig.pathNormalization: fragment, escaped slashes, the URL library's
 * canonical form, merged slashes, in that order.
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto (normalize_path, merge_slashes, path_with_escaped_slashes_action)
 */
import type { PathNormalization } from "../model/mesh-config.ts";
import { canonicalizePath } from "./canonicalize-path.ts";
import { isNormalPath, LAST_GRAPHIC, SLASH } from "./normal-path.ts";

export type { PathNormalization } from "../model/mesh-config.ts";

/**
 * @param target path and query as sent; must start with a slash.
 * @returns what is judged and forwarded: the same string where it is normal already; null for what is refused with 400.
 */
export function normalizePath(mode: PathNormalization, target: string): string | null {
  return isNormalPath(mode, target) ? target : normalizeSlowly(mode, target);
}

function normalizeSlowly(mode: PathNormalization, target: string): string | null {
  if (target.charCodeAt(0) !== SLASH || !isAcceptable(target)) return null;
  const hash = target.indexOf("#");
  const whole = hash < 0 ? target : target.slice(0, hash);
  if (mode === "NONE") return whole;
  const mark = whole.indexOf("?");
  const query = mark < 0 ? "" : whole.slice(mark);
  let path = mark < 0 ? whole : whole.slice(0, mark);
  if (mode === "DECODE_AND_MERGE_SLASHES") path = unescapeSlashes(path);
  const canonical = canonicalizePath(dropDotParameters(path));
  if (canonical === null) return null;
  return (mode === "BASE" ? canonical : mergeSlashes(canonical)) + query;
}

/** Characters that Envoy's HTTP/1 parser takes in a request target. */
function isAcceptable(target: string): boolean {
  for (let at = 0; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code <= 0x20 || code > LAST_GRAPHIC) return false;
  }
  return true;
}

/** `/..;x=1/` is `/../`: some servers drop parameters before they resolve dots, so Envoy does. */
function dropDotParameters(path: string): string {
  return path.includes(";") ? path.replace(/(?<=\/)(\.{1,2});[^/]*/g, "$1") : path;
}

function unescapeSlashes(path: string): string {
  return path.replace(/%2[fF]/g, "/").replace(/%5[cC]/g, "\\");
}

function mergeSlashes(path: string): string {
  // A path of slashes alone keeps its first and its last one.
  if (/^\/{2,}$/.test(path)) return "//";
  return path.includes("//") ? path.replace(/\/{2,}/g, "/") : path;
}
