/** What is too weak of TLS, as Go's programs (Kubernetes, etcd) name it. */

/** `VersionTLS10`, `VersionTLS11`, and etcd's `TLS1.0` and `TLS1.1`; empty is the default, which is 1.2. */
export function isOldTls(version: string): boolean {
  return /^(VersionTLS1[01]|TLS1\.[01])$/.test(version);
}

/** Without forward secrecy (keys by RSA), or with a cipher that is broken or open to padding oracles. @see RFC 7525, section 4 */
export function isWeakSuite(suite: string): boolean {
  return /^TLS_RSA_|RC4|3DES|_CBC_|_NULL_|EXPORT/.test(suite);
}
