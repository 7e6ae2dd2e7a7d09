/** How to close a way by which an application reads a path otherwise than the policy did. */
import type { PathNormalization } from "../model/mesh-config.ts";
import { normalizePath } from "../policy/normalize-path.ts";
import { type PathReading, readingsOf } from "./path-readings.ts";

export interface Misread {
  /** As it was sent. */
  readonly sent: string;
  readonly reading: PathReading;
  /** The path that the caller may not ask for. */
  readonly denied: string;
  /** Whether the policy refuses a path, normalised already. */
  readonly refuses: (path: string) => boolean;
  /** An ALLOW rule let it through, rather than the want of one. */
  readonly byAllowRule: boolean;
}

const STRONGER: readonly PathNormalization[] = ["BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/**
 * The weakest normalisation by which the proxy refuses all of them, or judges the path that the application then reads; where
 * none does, what the policy or the application must do. No mode decodes anything but dots, unreserved letters and, the last
 * one, %2F and %5C, and none decodes twice.
 */
export function pathAdvice(misreads: readonly Misread[], current: PathNormalization): string {
  const mode = STRONGER.slice(STRONGER.indexOf(current) + 1).find((candidate) =>
    misreads.every((misread) => isClosedBy(candidate, misread)),
  );
  if (mode !== undefined) return `set meshConfig.pathNormalization.normalization to ${mode}`;
  const habit = misreads[0]?.reading.by ?? "so";
  return misreads.every(({ byAllowRule }) => byAllowRule)
    ? `no pathNormalization mode reads paths ${habit}: allow exact paths in place of a wildcard such as /accounts/*, or let the application decode a path once only, as RFC 3986 says`
    : `no pathNormalization mode reads paths ${habit}: protect with ALLOW policies that name what is open, not with DENY policies that name what is closed`;
}

function isClosedBy(mode: PathNormalization, { sent, reading, denied, refuses }: Misread): boolean {
  const received = normalizePath(mode, sent);
  if (received === null || refuses(received)) return true;
  return readingsOf(received).find(({ by }) => by === reading.by)?.path !== denied;
}
