/** A rule as ztunnel has it: what is left of it, and which connections it matches. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileL4Rule, httpAttributes, l4RuleMatches } from "../../../src/policy/ambient/l4-rule.ts";
import type { RuleSpec } from "../../../src/policy/authorization-spec.ts";
import type { ConnectionInput } from "../../../src/policy/connection.ts";
import { connect, SLEEP } from "../inbound-fixture.ts";

const CONTEXT = {
  semantics: "istio",
  policyNamespace: "foo",
  trustDomains: ["cluster.local", "alias.test"],
} as const;

function shapeOf(rule: RuleSpec, action: "ALLOW" | "DENY", semantics: "istio" | "strict" = "istio") {
  const compiled = compileL4Rule(rule, 3, action, { ...CONTEXT, semantics });
  if (compiled === null) return null;
  const { index, clauses, dropped } = compiled;
  const entry = (conditions: (typeof clauses)[number][number]) =>
    conditions.map(({ field, values, notValues }) => [field, values.join(), notValues.join()]);
  return { index, clauses: clauses.map((entries) => entries.map(entry)), dropped };
}

describe("what is left of a rule", () => {
  const SOURCE = {
    principals: ["p"],
    notPrincipals: ["np"],
    namespaces: ["n"],
    notNamespaces: ["nn"],
    serviceAccounts: ["s"],
    notServiceAccounts: ["ns"],
    trustDomains: ["t"],
    notTrustDomains: ["nt"],
    ipBlocks: ["10.0.0.1"],
    notIpBlocks: ["10.0.0.2"],
  };
  const KEPT = [
    ["principals", "p", "np"],
    ["namespaces", "n", "nn"],
    ["serviceAccounts", "s", "ns"],
  ];
  const ADDRESSES = ["ipBlocks", "10.0.0.1", "10.0.0.2"];
  const PORTS = ["ports", "80", "81"];
  const operation = { ports: ["80"], notPorts: ["81"] };

  test("nothing is asked of a rule that says nothing", () => {
    assert.deepEqual(shapeOf({}, "ALLOW"), { index: 3, clauses: [], dropped: [] });
    assert.deepEqual(shapeOf({ from: [], to: [], when: [] }, "DENY"), { index: 3, clauses: [], dropped: [] });
  });

  test("every field of layer 4, operations first, a clause for each condition; trust domains under strict semantics, of an ALLOW", () => {
    const rule: RuleSpec = {
      from: [{ source: SOURCE }, { source: { namespaces: ["m"] } }],
      to: [{ operation }, {}],
      when: [
        { key: "source.ip", values: ["10.0.0.3"] },
        { key: "destination.port", notValues: ["82"] },
      ],
    };
    const clauses = (...trust: readonly (readonly string[])[]) => [
      [[PORTS], []],
      [[...KEPT, ...trust, ADDRESSES], [["namespaces", "m", ""]]],
      [[["source.ip", "10.0.0.3", ""]]],
      [[["destination.port", "", "82"]]],
    ];
    const trust = ["trustDomains", "t", "nt"];
    assert.deepEqual(shapeOf(rule, "ALLOW"), { index: 3, clauses: clauses(), dropped: [] });
    assert.deepEqual(shapeOf(rule, "DENY"), { index: 3, clauses: clauses(), dropped: [] });
    assert.deepEqual(shapeOf(rule, "ALLOW", "strict"), { index: 3, clauses: clauses(trust), dropped: [] });
    assert.deepEqual(shapeOf(rule, "DENY", "strict"), { index: 3, clauses: clauses(), dropped: [] });
  });

  test("an entry without its own name has nothing", () =>
    assert.deepEqual(shapeOf({ from: [{}], to: [{}] }, "DENY"), {
      index: 3,
      clauses: [[[]], [[]]],
      dropped: [],
    }));

  const HTTP: readonly (readonly [names: readonly string[], rule: RuleSpec])[] = [
    ...["remoteIpBlocks", "notRemoteIpBlocks", "requestPrincipals", "notRequestPrincipals"].map(
      (name) => [[name], { from: [{ source: { [name]: ["10.0.0.1"] } }] }] as const,
    ),
    ...["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"].map(
      (name) => [[name], { to: [{ operation: { [name]: ["/"] } }] }] as const,
    ),
    ...["request.headers[x]", "remote.ip", "connection.sni", "source.serviceAccount"].map(
      (key) => [[key], { when: [{ key, values: ["1"] }] }] as const,
    ),
  ];
  for (const [names, rule] of HTTP)
    test(`${names} goes from a DENY, and with it the whole rule of an ALLOW`, () => {
      assert.deepEqual(httpAttributes(rule), names);
      assert.equal(shapeOf(rule, "ALLOW"), null);
      assert.deepEqual(shapeOf(rule, "DENY"), { index: 3, clauses: [[[]]], dropped: names });
    });

  test("an empty list of an HTTP attribute asks for nothing", () =>
    assert.deepEqual(
      httpAttributes({ from: [{ source: { requestPrincipals: [] } }], to: [{ operation: { paths: [] } }] }),
      [],
    ));

  test("what is beside an HTTP attribute stays in a DENY", () => {
    const rule: RuleSpec = {
      from: [{ source: { namespaces: ["n"], requestPrincipals: ["*"] } }],
      to: [{ operation: { methods: ["GET"], ...operation } }],
      when: [
        { key: "request.auth.claims[a]", values: ["1"] },
        { key: "source.namespace", values: ["n"] },
      ],
    };
    assert.deepEqual(shapeOf(rule, "DENY"), {
      index: 3,
      clauses: [[[PORTS]], [[["namespaces", "n", ""]]], [[]], [[["source.namespace", "n", ""]]]],
      dropped: ["requestPrincipals", "methods", "request.auth.claims[a]"],
    });
  });
});

type Case = readonly [matches: boolean, rule: RuleSpec, connection?: Partial<ConnectionInput>];
const source = (fields: object): RuleSpec => ({ from: [{ source: fields }] });
const when = (key: string, values: readonly string[]): RuleSpec => ({ when: [{ key, values }] });
const PLAINTEXT = { principal: null };
const ALIAS = { principal: "alias.test/ns/foo/sa/sleep" };
const OTHER = { principal: "other.test/ns/foo/sa/sleep" };
const ODD = { principal: "cluster.local/odd" };

/** The client is foo's sleep at 10.1.0.5, the server 10.20.0.5:8080, unless it is told otherwise. */
const CASES: readonly Case[] = [
  [true, {}],
  [true, {}, PLAINTEXT],
  // An entry that asks for nothing never matches; another of the same clause may.
  [false, { from: [{}] }],
  [true, { from: [{}, { source: { namespaces: ["foo"] } }] }],
  [false, { from: [{ source: { namespaces: ["foo"] } }], to: [{}] }],
  // Principals: literal, case counts, no aliases; `*` is presence, at either end a suffix or prefix, elsewhere itself.
  [true, source({ principals: [SLEEP] })],
  [true, source({ principals: ["x", SLEEP] })],
  [false, source({ principals: [SLEEP.toUpperCase()] })],
  [false, source({ principals: [SLEEP] }), ALIAS],
  [false, source({ principals: [SLEEP] }), PLAINTEXT],
  [true, source({ principals: ["*"] })],
  [false, source({ principals: ["*"] }), PLAINTEXT],
  [true, source({ principals: ["*/sa/sleep"] })],
  [false, source({ principals: ["*/sa/slee"] })],
  [true, source({ principals: ["cluster.local/*"] })],
  [false, source({ principals: ["luster.local/*"] })],
  [false, source({ principals: ["*sleep*"] })],
  [true, source({ principals: ["*p*"] }), { principal: "cluster.local/ns/foo/sa/p*" }],
  [false, source({ principals: ["cluster.local/ns/*/sa/sleep"] })],
  [false, source({ principals: [] })],
  [false, source({ principals: [""] }), PLAINTEXT],
  [false, source({ notPrincipals: [SLEEP] })],
  [true, source({ notPrincipals: [SLEEP] }), ALIAS],
  [true, source({ notPrincipals: [SLEEP] }), PLAINTEXT],
  [true, source({ notPrincipals: ["*"] }), PLAINTEXT],
  [false, source({ principals: ["*"], notPrincipals: ["*/sa/sleep"] })],
  [true, source({ principals: ["*"], notPrincipals: ["*/sa/other"] })],
  [false, source({ principals: ["x"], notPrincipals: ["*/sa/other"] })],
  // Namespaces, of any trust domain; an identity that is no account has none.
  [true, source({ namespaces: ["foo"] }), OTHER],
  [true, source({ namespaces: ["f*"] })],
  [true, source({ namespaces: ["*o"] })],
  [false, source({ namespaces: ["fo"] })],
  [true, source({ namespaces: ["*"] })],
  [false, source({ namespaces: ["*"] }), ODD],
  [false, source({ namespaces: ["*"] }), PLAINTEXT],
  [true, source({ notNamespaces: ["foo"] }), PLAINTEXT],
  [false, source({ notNamespaces: ["foo"] })],
  [true, when("source.namespace", ["foo"])],
  [false, when("source.namespace", ["bar"])],
  [true, when("source.principal", [SLEEP])],
  [false, when("source.principal", ["x"])],
  // Accounts: a bare name is one of the policy's namespace, of any trust domain.
  [true, source({ serviceAccounts: ["sleep"] })],
  [true, source({ serviceAccounts: ["foo/sleep"] }), OTHER],
  [false, source({ serviceAccounts: ["bar/sleep"] })],
  [false, source({ serviceAccounts: ["sleep"] }), { principal: "cluster.local/ns/bar/sa/sleep" }],
  [true, source({ serviceAccounts: ["bar/sleep", "sleep"] })],
  [false, source({ serviceAccounts: ["sleep"] }), ODD],
  [false, source({ serviceAccounts: ["/"] }), ODD],
  [false, source({ notServiceAccounts: ["sleep"] })],
  [true, source({ notServiceAccounts: ["sleep"] }), PLAINTEXT],
  // All fields of one source must hold.
  [true, source({ namespaces: ["foo"], ipBlocks: ["10.1.0.0/16"] })],
  [false, source({ namespaces: ["foo"], ipBlocks: ["10.2.0.0/16"] })],
  // Addresses.
  [true, source({ ipBlocks: ["10.1.0.5"] })],
  [true, source({ ipBlocks: ["10.9.0.0/16", "10.1.0.0/24"] }), PLAINTEXT],
  [false, source({ ipBlocks: ["10.1.0.6"] })],
  [false, source({ ipBlocks: ["garbage"] })],
  [true, source({ ipBlocks: ["garbage", "10.1.0.5"] })],
  [false, source({ ipBlocks: ["0.0.0.0/0"] }), { sourceIp: "garbage" }],
  [true, source({ notIpBlocks: ["0.0.0.0/0"] }), { sourceIp: "garbage" }],
  [true, when("source.ip", ["10.1.0.5"])],
  [false, when("source.ip", ["10.20.0.5"])],
  [true, when("destination.ip", ["10.20.0.5"])],
  [false, when("destination.ip", ["10.1.0.5"])],
  // Ports.
  [true, { to: [{ operation: { ports: ["80", "8080"] } }] }],
  [false, { to: [{ operation: { ports: ["80"] } }] }],
  [false, { to: [{ operation: { notPorts: ["8080"] } }] }],
  [true, { to: [{ operation: { notPorts: ["80"] } }] }],
  [true, when("destination.port", ["8080"])],
  [false, when("destination.port", ["80"])],
  // Every clause has to match, of each one entry.
  [
    true,
    {
      to: [{ operation: { ports: ["80"] } }, { operation: { ports: ["8080"] } }],
      from: [{ source: { namespaces: ["foo"] } }],
    },
  ],
  [false, { to: [{ operation: { ports: ["8080"] } }], from: [{ source: { namespaces: ["bar"] } }] }],
  [
    false,
    {
      when: [
        { key: "source.ip", values: ["10.1.0.5"] },
        { key: "destination.port", values: ["80"] },
      ],
    },
  ],
];

describe("l4RuleMatches()", () => {
  for (const [expected, rule, connection] of CASES)
    test(`${JSON.stringify(rule)} ${expected ? "matches" : "does not match"} ${JSON.stringify(connection ?? "the client")}`, () => {
      const compiled = compileL4Rule(rule, 0, "ALLOW", CONTEXT);
      assert.ok(compiled !== null);
      assert.equal(l4RuleMatches(compiled, connect(connection ?? {})), expected);
    });

  for (const [expected, fields, connection] of [
    [true, { trustDomains: ["cluster.local"] }, {}],
    [true, { trustDomains: ["cluster.local"] }, ALIAS],
    [true, { trustDomains: ["alias.test"] }, {}],
    [false, { trustDomains: ["cluster.local"] }, OTHER],
    [true, { trustDomains: ["other.test"] }, OTHER],
    [false, { trustDomains: ["cluster.local"] }, PLAINTEXT],
    [false, { trustDomains: ["*"] }, PLAINTEXT],
    [false, { notTrustDomains: ["cluster.local"] }, {}],
    [true, { notTrustDomains: ["cluster.local"] }, OTHER],
    [true, { notTrustDomains: ["cluster.local"] }, PLAINTEXT],
    [false, { principals: [SLEEP], trustDomains: ["other.test"] }, {}],
  ] as const)
    test(`strict: ${JSON.stringify(fields)} ${expected ? "matches" : "does not match"} ${JSON.stringify(connection)}`, () => {
      const compiled = compileL4Rule(source(fields), 0, "ALLOW", { ...CONTEXT, semantics: "strict" });
      assert.ok(compiled !== null);
      assert.equal(l4RuleMatches(compiled, connect(connection)), expected);
    });
});
