import type { JwtResult } from "../policy/jwt/jwt-result.ts";
import { type FieldLines, fieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";

/**
 * Headers to leave out once tokens are verified: those that carried one that is to end here, and those that are about to be
 * set from its claims, so that no client's word stands for a claim.
 * @param remove what is left out besides.
 */
export function withTokenHeaders(
  remove: ReadonlySet<string> | undefined,
  jwt: JwtResult,
): ReadonlySet<string> | undefined {
  if (jwt.removeHeaders.length === 0 && jwt.setHeaders.length === 0) return remove;
  return new Set([...(remove ?? []), ...jwt.removeHeaders, ...jwt.setHeaders.map(([name]) => name)]);
}

/** The lines that tell the next hop what a verified token claims. */
export function claimLines(jwt: JwtResult): FieldLines {
  return jwt.setHeaders.length === 0
    ? NO_FIELD_LINES
    : (fieldLines(...jwt.setHeaders.flat()) ?? NO_FIELD_LINES);
}

/** A flat list of headers as they are after verification: what a gateway's routes match. */
export function headersAfterToken(headers: readonly string[], jwt: JwtResult): readonly string[] {
  const gone = withTokenHeaders(undefined, jwt);
  if (gone === undefined) return headers;
  const kept = headers.filter((_text, at) => !gone.has(headers[at - (at % 2)] as string));
  return [...kept, ...jwt.setHeaders.flat()];
}
