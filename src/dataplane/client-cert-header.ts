import type { PeerCertificate } from "../identity/peer-certificate.ts";

/**
 * One element of X-Forwarded-Client-Cert: whose proxy saw which certificate.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
 */
export function clientCertElement(by: string, certificate: PeerCertificate): string {
  const { sha256, spiffeId } = certificate;
  return `By=${by};Hash=${sha256};Subject="";URI=${spiffeId ?? ""}`;
}
