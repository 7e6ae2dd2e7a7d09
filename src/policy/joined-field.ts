/** Headers of which several count as one list. */
import type { FlatHeaders } from "./http-request.ts";

/**
 * All values of a header as one text, commas between them (RFC 9110 §5.3); null where it is absent. Empty values leave nothing
 * behind, not even their comma, as in Envoy. Allocates only where the header is repeated.
 */
export function joinedField(headers: FlatHeaders, name: string): string | null {
  let joined: string | null = null;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue;
    const value = headers[index + 1] ?? "";
    if (joined === null || joined === "") joined = value;
    else if (value !== "") joined = `${joined},${value}`;
  }
  return joined;
}
