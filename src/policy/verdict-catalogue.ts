/** Verdicts are made here, frozen, at load or compile time: deciding only picks one. */
import type { InboundCause } from "./inbound-cause.ts";
import type { Layer, Reason, Verdict } from "./verdict.ts";

function fixed(
  layer: Layer,
  cause: InboundCause,
  allowed: boolean,
  code: number,
  reason: Reason,
  policy: string | null = null,
  rule: number | null = null,
): Verdict {
  return Object.freeze({ allowed, code, reason, cause, layer, policy, rule });
}

/** Everything that needs no policy's name. */
export const NO_PROXY = fixed("transport", "no-proxy", true, 0, "ok");
export const PER_REQUEST = fixed("transport", "per-request", true, 0, "ok");
export const NO_CHAIN = fixed("transport", "no-chain", false, 0, "no-chain");
export const CHAIN_CHANGED = fixed("transport", "chain-changed", false, 0, "no-chain");
export const NO_LISTENER = fixed("transport", "no-listener", false, 0, "closed");
export const NO_CLIENT_CERTIFICATE = fixed("transport", "no-client-certificate", false, 0, "tls");
export const UNTRUSTED_CERTIFICATE = fixed("transport", "untrusted-certificate", false, 0, "tls");
export const FOREIGN_TRUST_DOMAIN = fixed("transport", "foreign-trust-domain", false, 0, "tls");
export const TLS_TO_PLAINTEXT_PORT = fixed("transport", "tls-to-plaintext-port", false, 0, "tls");
export const PLAINTEXT_TO_TLS_PORT = fixed("transport", "plaintext-to-tls-port", false, 0, "no-chain");
/** What is not an acceptable HTTP request, whatever the policies say. */
export const BAD_REQUEST = fixed("protocol", "bad-request", false, 400, "bad-request");
export const UNKNOWN_TRANSFER_CODING = fixed("protocol", "bad-request", false, 501, "bad-request");
export const EXPECTATION_FAILED = fixed("protocol", "bad-request", false, 417, "bad-request");
/** `OPTIONS *`: Envoy has no route for it. */
export const NO_RELATIVE_PATH = fixed("route", "no-relative-path", false, 404, "route");
export const JWT_UNVERIFIED = fixed("jwt", "jwt-unverified", false, 401, "unknown");

/** How an HTTP or a TCP chain answers: with a status, or by closing. */
export interface AnswerCodes {
  readonly allowed: number;
  readonly denied: number;
}

export const HTTP_ANSWERS: AnswerCodes = { allowed: 200, denied: 403 };
export const TCP_ANSWERS: AnswerCodes = { allowed: 0, denied: 0 };

/** ALLOW where no ALLOW policy applies, and DENY where none of those that do matches. */
export function openVerdict(answers: AnswerCodes): Verdict {
  return fixed("authorization", "no-allow-policies", true, answers.allowed, "ok");
}

export function closedVerdict(answers: AnswerCodes): Verdict {
  return fixed("authorization", "no-allow-matched", false, answers.denied, "rbac");
}

/** The verdict of one rule that matched. */
export function ruleVerdict(
  cause: InboundCause,
  answers: AnswerCodes,
  policy: string,
  rule: number,
): Verdict {
  switch (cause) {
    case "allow-matched":
      return fixed("authorization", cause, true, answers.allowed, "ok", policy, rule);
    case "deny-matched":
      return fixed("authorization", cause, false, answers.denied, "rbac", policy, rule);
    case "ext-authz-unanswered":
      return fixed("ext-authz", cause, false, answers.denied, "unknown", policy, rule);
    case "ext-authz-denied":
    case "ext-authz-failed":
    case "ext-authz-misconfigured":
    case "ext-authz-dry-run":
      return fixed("ext-authz", cause, false, answers.denied, "rbac", policy, rule);
    default:
      throw new Error(`BUG: ${cause} is no outcome of a rule`);
  }
}

/** Refusal of a token; `policy` names the RequestAuthentication where one is to blame. */
export function jwtVerdict(cause: InboundCause, policy: string | null): Verdict {
  const code = cause === "jwt-wrong-audience" ? 403 : 401;
  return fixed("jwt", cause, false, code, "jwt", policy);
}
