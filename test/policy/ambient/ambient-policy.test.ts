/** What ztunnel has of a mesh's policies, and how it decides. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type AmbientPolicy,
  decideAmbient,
  deciding,
  matchingPolicies,
} from "../../../src/policy/ambient/ambient-policy.ts";
import type { ConnectionInput } from "../../../src/policy/connection.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { authorization, connect, meshConfig, resource, SLEEP } from "../inbound-fixture.ts";
import { ambientOf } from "./ambient-fixture.ts";

const FOO = { from: [{ source: { namespaces: ["foo"] } }] };
const BAR = { from: [{ source: { namespaces: ["bar"] } }] };
const HTTP = { to: [{ operation: { methods: ["GET"] } }] };
const ROOT = { namespace: "istio-system" };
const strict = (name: string, spec: object = {}): Resource =>
  resource("PeerAuthentication", name, { mtls: { mode: "STRICT" }, ...spec });

const listed = ({ deny, allow }: AmbientPolicy) => {
  const of = (policies: AmbientPolicy["deny"]) =>
    policies.map(({ policy, rules, droppedRules }) => [
      policy,
      rules.map(({ index }) => index),
      droppedRules,
    ]);
  return { deny: of(deny), allow: of(allow) };
};

describe("what reaches ztunnel", () => {
  test("ALLOW and DENY by name, with the rules that are left and how many are not", () => {
    const policy = ambientOf([
      authorization("z", { rules: [FOO, HTTP, BAR, HTTP] }),
      authorization("b", { action: "DENY", rules: [HTTP, FOO] }),
      authorization("a", {}),
      authorization("m", { action: "ALLOW", rules: [{}] }, ROOT),
      authorization("a", { action: "DENY", rules: [FOO] }, ROOT),
      authorization("c", { action: "AUDIT", rules: [FOO] }),
      authorization("d", { action: "CUSTOM", provider: { name: "p" }, rules: [FOO] }),
    ]);
    assert.deepEqual(listed(policy), {
      deny: [
        ["AuthorizationPolicy foo/b", [0, 1], 0],
        ["AuthorizationPolicy istio-system/a", [0], 0],
      ],
      allow: [
        ["AuthorizationPolicy foo/a", [], 0],
        ["AuthorizationPolicy foo/z", [0, 2], 2],
        ["AuthorizationPolicy istio-system/m", [0], 0],
      ],
    });
    assert.deepEqual(
      [policy.semantics, policy.trustDomain, policy.asWritten, policy.plaintext, policy.workload.key],
      ["istio", "cluster.local", null, [], "foo/httpbin"],
    );
  });

  const SELECTED = { matchLabels: { app: "httpbin" } };
  const TARGET = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "g" };
  for (const [reaches, spec, annotations] of [
    [true, {}, {}],
    [true, { selector: SELECTED }, {}],
    [false, { selector: { matchLabels: { app: "other" } } }, {}],
    [false, { selector: {} }, {}],
    [false, { selector: { matchLabels: {} } }, {}],
    [false, { targetRef: TARGET }, {}],
    [false, { targetRefs: [TARGET] }, {}],
    [true, { targetRefs: [] }, {}],
    [true, {}, { "istio.io/dry-run": "false" }],
    [true, {}, { "istio.io/dry-run": "yes" }],
    ...["1", "t", "T", "TRUE", "true", "True"].map(
      (dryRun) => [false, {}, { "istio.io/dry-run": dryRun } as Record<string, string>] as const,
    ),
  ] as const)
    test(`a policy with ${JSON.stringify({ ...spec, ...annotations })} ${reaches ? "does" : "does not"}`, () => {
      const policy = ambientOf([authorization("p", { ...spec, rules: [FOO] }, { annotations })]);
      assert.equal(policy.allow.length, reaches ? 1 : 0);
    });

  test("under strict semantics an empty selector is for everybody, as it says; Istio's part stays as it is", () => {
    const policy = ambientOf([authorization("p", { selector: {}, rules: [FOO] })], "strict");
    const { asWritten } = policy;
    assert.ok(asWritten !== null);
    assert.deepEqual([policy.semantics, policy.allow.length], ["strict", 0]);
    assert.deepEqual([asWritten.semantics, asWritten.allow.length, asWritten.asWritten], ["strict", 1, null]);
  });

  test("under strict semantics a trust domain stands for its aliases", () => {
    const config = meshConfig("trustDomain: new.test\ntrustDomainAliases: [old.test, new.test]");
    const rule = { from: [{ source: { trustDomains: ["old.test"] } }] };
    const policy = ambientOf([config, authorization("p", { rules: [rule] })], "strict");
    const client = connect({ principal: "new.test/ns/foo/sa/sleep" });
    assert.equal(policy.asWritten?.trustDomain, "new.test");
    assert.deepEqual(matchingPolicies(policy.asWritten?.allow ?? [], client), ["foo/p"]);
  });

  test("a policy without a spec is an ALLOW without rules", () =>
    assert.deepEqual(listed(ambientOf([resource("AuthorizationPolicy", "p", undefined)])).allow, [
      ["AuthorizationPolicy foo/p", [], 0],
    ]));
});

describe("decideAmbient()", () => {
  const OPEN = {
    allowed: true,
    code: 0,
    reason: "ok",
    cause: "no-allow-policies",
    layer: "authorization",
    policy: null,
    rule: null,
  };
  const CLOSED = { ...OPEN, allowed: false, reason: "rbac", cause: "no-allow-matched" };
  const NO_TLS = { ...CLOSED, reason: "tls", layer: "transport" };
  const matched = (cause: string, policy: string, rule: number) => ({
    ...(cause === "deny-matched" ? CLOSED : OPEN),
    cause,
    policy: `AuthorizationPolicy ${policy}`,
    rule,
  });
  const refused = {
    ...CLOSED,
    cause: "plaintext-refused",
    layer: "transport",
    policy: "PeerAuthentication foo/all",
  };

  const CASES: readonly (readonly [
    why: string,
    resources: readonly Resource[],
    connection: Partial<ConnectionInput>,
    expected: object,
  ])[] = [
    ["nothing applies", [], {}, OPEN],
    ["nothing applies to plaintext either", [], { principal: null }, OPEN],
    ...[15001, 15006, 15008].map(
      (destinationPort) =>
        [
          `port ${destinationPort} is ztunnel's own`,
          [authorization("a", { rules: [{}] })],
          { destinationPort },
          { ...NO_TLS, reason: "closed", cause: "no-listener" },
        ] as const,
    ),
    ["a certificate of others", [], { tls: "rogue" }, { ...NO_TLS, cause: "untrusted-certificate" }],
    [
      "another trust domain",
      [],
      { principal: "other.test/ns/foo/sa/sleep" },
      { ...NO_TLS, cause: "foreign-trust-domain" },
    ],
    [
      "an alias of the trust domain",
      [meshConfig("trustDomainAliases: [old.test]")],
      { principal: "old.test/ns/foo/sa/sleep" },
      { ...NO_TLS, cause: "foreign-trust-domain" },
    ],
    [
      "an identity that is no account",
      [],
      { principal: "cluster.local/odd" },
      { ...NO_TLS, cause: "foreign-trust-domain" },
    ],
    ["plaintext where it is refused", [strict("all")], { principal: null }, refused],
    [
      "plaintext where it is refused and allowed",
      [strict("all"), authorization("a", { rules: [{}] })],
      { principal: null },
      refused,
    ],
    ["mutual TLS where plaintext is refused", [strict("all")], {}, OPEN],
    [
      "a DENY that matches",
      [authorization("d", { action: "DENY", rules: [BAR, FOO] })],
      {},
      matched("deny-matched", "foo/d", 1),
    ],
    ["a DENY that does not", [authorization("d", { action: "DENY", rules: [BAR] })], {}, OPEN],
    [
      "an ALLOW that matches",
      [authorization("a", { rules: [BAR, FOO] })],
      {},
      matched("allow-matched", "foo/a", 1),
    ],
    ["an ALLOW that does not", [authorization("a", { rules: [BAR] })], {}, CLOSED],
    ["an ALLOW without rules", [authorization("a", {})], {}, CLOSED],
    [
      "a DENY beside an ALLOW",
      [authorization("a", { rules: [FOO] }), authorization("d", { action: "DENY", rules: [FOO] })],
      {},
      matched("deny-matched", "foo/d", 0),
    ],
    [
      "of several that match the first by name",
      [
        authorization("b", { rules: [FOO] }),
        authorization("a", { rules: [BAR, {}] }),
        authorization("c", { rules: [FOO] }),
      ],
      {},
      matched("allow-matched", "foo/a", 1),
    ],
  ];
  for (const [why, resources, connection, expected] of CASES)
    test(why, () => assert.deepEqual(decideAmbient(ambientOf(resources), connect(connection)), expected));
});

describe("strict semantics", () => {
  const forgotten = authorization("t", {
    rules: [{ from: [{ source: { principals: [SLEEP], trustDomains: ["x"] } }] }],
  });
  const unselected = authorization("d", { selector: {}, action: "DENY", rules: [FOO] });

  test("what is written decides where Istio allows; else Istio's refusal stands", () => {
    const client = connect();
    const widened = ambientOf([forgotten], "strict");
    assert.equal(deciding(widened, client), widened.asWritten);
    assert.equal(decideAmbient(widened, client).cause, "no-allow-matched");
    const other = connect({ principal: "cluster.local/ns/bar/sa/x" });
    assert.equal(deciding(widened, other), widened);
    assert.equal(decideAmbient(ambientOf([unselected], "strict"), client).cause, "deny-matched");
    assert.equal(decideAmbient(ambientOf([unselected]), client).cause, "no-allow-policies");
  });

  test("Istio's semantics never ask what is written", () => {
    const policy = ambientOf([forgotten]);
    assert.equal(deciding(policy, connect()), policy);
  });
});

test("matchingPolicies() names each policy of which a rule matches", () => {
  const { allow } = ambientOf([
    authorization("one", { rules: [FOO, BAR] }),
    authorization("two", { rules: [BAR] }),
    authorization("all", { rules: [{}] }, ROOT),
  ]);
  assert.deepEqual(matchingPolicies(allow, connect()), ["foo/one", "istio-system/all"]);
});
