import type { PeerCertificate } from "../identity/peer-certificate.ts";

/**
 * One element of X-Forwarded-Client-Cert: whose proxy saw which certificate.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
 */
export function clientCertElement(by: string, certificate: PeerCertificate): string {
  const { sha256, spiffeId } = certificate;
  return `By=${by};Hash=${sha256};Subject="";URI=${spiffeId ?? ""}`;
}

/** Characters that cannot end a value, or an element, for any reader. */
const PLAIN_NAME = /^[\w.:/*@~%+-]+$/;
const PLAIN_SUBJECT = /^[\x20-\x7e]*$/;

/** The element of a client outside of the mesh, whose certificate may say anything: what could be misread is left out. */
export function edgeCertElement(certificate: PeerCertificate, subject: string): string {
  const { sha256, uris, dnsNames } = certificate;
  const quotable = PLAIN_SUBJECT.test(subject) && !/["\\]/.test(subject);
  const names = [
    ...uris.filter((uri) => PLAIN_NAME.test(uri)).map((uri) => `URI=${uri}`),
    ...dnsNames.filter((name) => PLAIN_NAME.test(name)).map((name) => `DNS=${name}`),
  ];
  return [`Hash=${sha256}`, `Subject="${quotable ? subject : ""}"`, ...names].join(";");
}
