import assert from "node:assert/strict";
import { test } from "node:test";
import type { InboundCause } from "../../src/policy/inbound-cause.ts";
import type { Verdict } from "../../src/policy/verdict.ts";
import * as catalogue from "../../src/policy/verdict-catalogue.ts";

type FixedVerdict = readonly [Verdict, Verdict["layer"], InboundCause, boolean, number, Verdict["reason"]];

/** Verdicts that need no policy's name: layer, cause, allowed, status (0: no HTTP answer), reason. */
const fixed = (): readonly FixedVerdict[] => [
  [catalogue.NO_PROXY, "transport", "no-proxy", true, 0, "ok"],
  [catalogue.PER_REQUEST, "transport", "per-request", true, 0, "ok"],
  [catalogue.NO_CHAIN, "transport", "no-chain", false, 0, "no-chain"],
  [catalogue.CHAIN_CHANGED, "transport", "chain-changed", false, 0, "no-chain"],
  [catalogue.NO_LISTENER, "transport", "no-listener", false, 0, "closed"],
  [catalogue.NO_CLIENT_CERTIFICATE, "transport", "no-client-certificate", false, 0, "tls"],
  [catalogue.UNTRUSTED_CERTIFICATE, "transport", "untrusted-certificate", false, 0, "tls"],
  [catalogue.FOREIGN_TRUST_DOMAIN, "transport", "foreign-trust-domain", false, 0, "tls"],
  [catalogue.TLS_TO_PLAINTEXT_PORT, "transport", "tls-to-plaintext-port", false, 0, "tls"],
  [catalogue.PLAINTEXT_TO_TLS_PORT, "transport", "plaintext-to-tls-port", false, 0, "no-chain"],
  [catalogue.BAD_REQUEST, "protocol", "bad-request", false, 400, "bad-request"],
  [catalogue.NO_RELATIVE_PATH, "route", "no-relative-path", false, 404, "route"],
  [catalogue.JWT_UNVERIFIED, "jwt", "jwt-unverified", false, 401, "unknown"],
  [catalogue.openVerdict(catalogue.HTTP_ANSWERS), "authorization", "no-allow-policies", true, 200, "ok"],
  [catalogue.openVerdict(catalogue.TCP_ANSWERS), "authorization", "no-allow-policies", true, 0, "ok"],
  [catalogue.closedVerdict(catalogue.HTTP_ANSWERS), "authorization", "no-allow-matched", false, 403, "rbac"],
  [catalogue.closedVerdict(catalogue.TCP_ANSWERS), "authorization", "no-allow-matched", false, 0, "rbac"],
  [catalogue.jwtVerdict("jwt-required", null), "jwt", "jwt-required", false, 401, "jwt"],
];

test("verdicts that name no policy are of their layer, with their status and reason, and frozen", () => {
  for (const [verdict, layer, cause, allowed, code, reason] of fixed()) {
    assert.deepEqual(verdict, { layer, cause, allowed, code, reason, policy: null, rule: null });
    assert.ok(Object.isFrozen(verdict));
  }
});

/** Outcomes of rules: cause, layer, allowed, status over HTTP, reason. */
const BY_RULE: readonly (readonly [InboundCause, Verdict["layer"], boolean, number, Verdict["reason"]])[] = [
  ["allow-matched", "authorization", true, 200, "ok"],
  ["deny-matched", "authorization", false, 403, "rbac"],
  ["ext-authz-unanswered", "ext-authz", false, 403, "unknown"],
  ["ext-authz-denied", "ext-authz", false, 403, "rbac"],
  ["ext-authz-failed", "ext-authz", false, 403, "rbac"],
  ["ext-authz-misconfigured", "ext-authz", false, 403, "rbac"],
  ["ext-authz-dry-run", "ext-authz", false, 403, "rbac"],
];

for (const [cause, layer, allowed, code, reason] of BY_RULE)
  test(`a rule's verdict ${cause} names its policy and rule; over TCP it has no status`, () => {
    const named = { layer, cause, allowed, reason, policy: "AuthorizationPolicy a/b", rule: 3 };
    const made = (answers: catalogue.AnswerCodes) => catalogue.ruleVerdict(cause, answers, named.policy, 3);
    assert.deepEqual(made(catalogue.HTTP_ANSWERS), { ...named, code });
    assert.deepEqual(made(catalogue.TCP_ANSWERS), { ...named, code: 0 });
  });

test("ruleVerdict() knows the outcomes of rules alone", () => {
  assert.throws(() => catalogue.ruleVerdict("no-proxy", catalogue.HTTP_ANSWERS, "p", 0), {
    message: "BUG: no-proxy is no outcome of a rule",
  });
});

test("jwtVerdict(): 403 for a wrong audience, else 401, in the name of the policy that is to blame", () => {
  const policy = "RequestAuthentication a/b";
  const common = { layer: "jwt", allowed: false, reason: "jwt", policy, rule: null };
  for (const [cause, code] of [
    ["jwt-wrong-audience", 403],
    ["jwt-invalid", 401],
    ["jwt-unknown-issuer", 401],
  ] as const)
    assert.deepEqual(catalogue.jwtVerdict(cause, policy), { ...common, cause, code });
});
