import type { PeerCertificate } from "../identity/peer-certificate.ts";

/**
 * One element of X-Forwarded-Client-Cert: whose proxy saw which certificate.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
 */
export function clientCertElement(by: string, certificate: PeerCertificate): string {
  const { sha256, spiffeId } = certificate;
  return `By=${by};Hash=${sha256};Subject="";URI=${spiffeId ?? ""}`;
}

/**
 * Whether an element can be appended to this value and still be read as one: a client that leaves a quote open would have what
 * the proxy appends read as a part of its own element. Readers differ on whether a backslash escapes, so one before a quote
 * counts as open.
 */
export function canAppendElement(before: string): boolean {
  return !before.includes('\\"') && before.split('"').length % 2 === 1;
}
