/** Where our own parser refuses what Envoy's takes: a closed list, of requests that are no matter of policy. */

import { UNKNOWN_ALPN } from "./alphabets.ts";
import type { ConnectionSpec, MeshSpec } from "./differential-case.ts";
import { EDGE_MUTUAL_PORT, EDGE_SIMPLE_PORT, type SentRequest } from "./materialize.ts";
import type { Outcome } from "./outcome.ts";

/** Our limit of a request line; Envoy has one for the whole head alone. */
const LONG_TARGET = 8000;
const USER_INFORMATION = /^https?:\/\/[^/?#]*@/i;
const BODY_TOO_LARGE = 413;
const TRAILING_WHITESPACE = /[ \t]$/;

/**
 * The outcomes that must be the same. One is left out only if it is a refusal for its form, and the request is one of the list; what is
 * let through is always compared.
 */
export function comparable(
  mesh: MeshSpec,
  connection: ConnectionSpec,
  { target }: SentRequest,
  outcomes: Readonly<Record<string, Outcome>>,
): Readonly<Record<string, Outcome>> {
  const ofProxy = USER_INFORMATION.test(target) || target.length > LONG_TARGET;
  const ofAll = TRAILING_WHITESPACE.test(target);
  return Object.fromEntries(
    Object.entries(outcomes).filter(([name, outcome]) => {
      // Envoy's limit of a body to be shown counts what it holds, and of HTTP/2 it does not hold what comes with the stream's end.
      if (name === "envoy" && connection.http2 === true && outcomes.decided?.code === BODY_TOO_LARGE)
        return false;
      if (name === "envoy" || outcome.allowed) return true;
      if (name === "proxy" && namesNobody(mesh, connection)) return outcome.reason !== "tls";
      if (name === "proxy" && offersUnknownNames(mesh, connection)) return outcome.reason !== "tls";
      return outcome.reason !== "bad-request" || !(ofAll || (ofProxy && name === "proxy"));
    }),
  );
}

/** A certificate of the mesh's roots for none of its trust domains: gateways of Istio take it, our proxies never do (docs/decisions.md). */
function namesNobody(
  { gateway = null, trustDomain, trustDomainAliases }: MeshSpec,
  { tls, port, principal }: ConnectionSpec,
): boolean {
  if (gateway === null || tls !== "mtls" || port !== EDGE_MUTUAL_PORT) return false;
  return ![trustDomain, ...trustDomainAliases].some((own) => principal.startsWith(`${own}/`));
}

/** A handshake whose client offers only names that nobody knows is ended (RFC 7301 §3.2); Envoy goes on without one. */
function offersUnknownNames({ gateway = null }: MeshSpec, { tls, alpn, port }: ConnectionSpec): boolean {
  const atEdge = gateway !== null && port === EDGE_SIMPLE_PORT;
  const isKnown = (name: string): boolean => (atEdge ? EDGE_ALPN.has(name) : name !== UNKNOWN_ALPN);
  return tls !== "plaintext" && alpn.length > 0 && !alpn.some(isKnown);
}

/** The mesh's own names are nothing to a server for clients outside of it. */
const EDGE_ALPN: ReadonlySet<string> = new Set(["h2", "http/1.1"]);
