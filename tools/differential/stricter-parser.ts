/** Where our own parser refuses what Envoy's takes: a closed list, of requests that are no matter of policy. */

import { UNKNOWN_ALPN } from "./alphabets.ts";
import type { ConnectionSpec } from "./differential-case.ts";
import type { SentRequest } from "./materialize.ts";
import type { Outcome } from "./outcome.ts";

/** Our limit of a request line; Envoy has one for the whole head alone. */
const LONG_TARGET = 8000;
const USER_INFORMATION = /^https?:\/\/[^/?#]*@/i;
const TRAILING_WHITESPACE = /[ \t]$/;

/**
 * The outcomes that must be the same. One is left out only if it is a refusal for its form, and the request is one of the list; what is
 * let through is always compared.
 */
export function comparable(
  connection: ConnectionSpec,
  { target }: SentRequest,
  outcomes: Readonly<Record<string, Outcome>>,
): Readonly<Record<string, Outcome>> {
  const ofProxy = USER_INFORMATION.test(target) || target.length > LONG_TARGET;
  const ofAll = TRAILING_WHITESPACE.test(target);
  return Object.fromEntries(
    Object.entries(outcomes).filter(([name, outcome]) => {
      if (name === "envoy" || outcome.allowed) return true;
      if (name === "proxy" && offersUnknownNames(connection)) return outcome.reason !== "tls";
      return outcome.reason !== "bad-request" || !(ofAll || (ofProxy && name === "proxy"));
    }),
  );
}

/** A handshake whose client offers only names that nobody knows is ended (RFC 7301 §3.2); Envoy goes on without one. */
function offersUnknownNames({ tls, alpn }: ConnectionSpec): boolean {
  return tls !== "plaintext" && alpn.length > 0 && alpn.every((name) => name === UNKNOWN_ALPN);
}
