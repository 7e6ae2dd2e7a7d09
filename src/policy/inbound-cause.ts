/** Why an inbound verdict is what it is: the closed list that docs/decisions.md explains. */
export type InboundCause =
  /** No proxy stands before the workload. */
  | "no-proxy"
  /** An HTTP chain took the connection; each request is decided by itself. */
  | "per-request"
  /** TLS goes through undecrypted, and nothing forbids it. */
  | "tls-passthrough"
  /** No ALLOW policy applies. */
  | "no-allow-policies"
  | "allow-matched"
  | "deny-matched"
  | "no-allow-matched"
  /** A CUSTOM policy matched, and its authorizer was not asked. */
  | "ext-authz-unanswered"
  | "ext-authz-denied"
  /** A CUSTOM policy matched, and its authorizer could not be asked. */
  | "ext-authz-failed"
  /** A CUSTOM policy matched, and its provider is unknown, broken, or one of several. */
  | "ext-authz-misconfigured"
  /** A CUSTOM policy that is annotated `istio.io/dry-run` matched: Istio makes it a DENY. */
  | "ext-authz-dry-run"
  /** Plaintext to a STRICT port, or TLS that no chain expects. */
  | "no-chain"
  | "no-listener"
  /** A connection that is there would now be taken by another filter chain. */
  | "chain-changed"
  | "no-client-certificate"
  | "untrusted-certificate"
  /** The client's certificate, or the one that this proxy would show, was revoked. */
  | "certificate-revoked"
  /** The control plane has not said for too long what is revoked (`up --revocation-max-age`). */
  | "revocation-unknown"
  | "foreign-trust-domain"
  /** TLS to a port that does not speak it. */
  | "tls-to-plaintext-port"
  | "plaintext-to-tls-port"
  | "bad-request"
  | "no-relative-path"
  | "jwt-unverified"
  | "jwt-required"
  | "jwt-invalid"
  /** The keys of the token's issuer were never had. */
  | "jwt-no-keys"
  | "jwt-unknown-issuer"
  | "jwt-wrong-audience";
