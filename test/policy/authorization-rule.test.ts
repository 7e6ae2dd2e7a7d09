import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clause, compileRule, ruleMatches } from "../../src/policy/authorization-rule.ts";
import type { RuleSpec } from "../../src/policy/authorization-spec.ts";
import type { ConditionContext } from "../../src/policy/condition.ts";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import { connect, get } from "./inbound-fixture.ts";

const HTTP: ConditionContext = {
  semantics: "istio",
  action: "ALLOW",
  policyNamespace: "foo",
  trustDomains: ["cluster.local"],
  federated: [],
  forwardedFor: { entryFromRight: 0 },
  http: true,
};
const POLICY = { namespace: "foo", name: "p" };

const compiled = (spec: RuleSpec, context = HTTP) => compileRule(spec, POLICY, 3, context);
const shown = (clauses: readonly Clause[] | undefined) =>
  clauses?.map((clause) => clause.map(({ field, values, notValues }) => [field, values, notValues]));

/** The clauses of a rule, condition by condition. */
function clausesOf(spec: RuleSpec, context = HTTP): unknown {
  const rule = compiled(spec, context);
  return rule === null ? null : { sources: shown(rule.sources), operations: shown(rule.operations) };
}

test("compileRule(): policy, index and Envoy's name; a rule without anything has one clause of each kind that holds always", () => {
  assert.deepEqual(compiled({}), {
    policy: "AuthorizationPolicy foo/p",
    index: 3,
    key: "ns[foo]-policy[p]-rule[3]",
    sources: [[]],
    operations: [[]],
  });
  const nothing = { sources: [[]], operations: [[]] };
  assert.deepEqual(clausesOf({ from: [], to: [], when: [] }), nothing);
  assert.deepEqual(clausesOf({ from: [{}], to: [{}] }), nothing);
  assert.deepEqual(
    clausesOf({ from: [{ source: { principals: [] } }], when: [{ key: "source.ip" }] }),
    nothing,
  );
});

test("compileRule(): every field of a source and an operation, with its negation; a list without its negation, and the other way round", () => {
  const source = {
    ipBlocks: ["10.0.0.0/8"],
    notIpBlocks: ["10.1.0.0/16"],
    remoteIpBlocks: ["11.0.0.0/8"],
    notRemoteIpBlocks: ["11.1.0.0/16"],
    namespaces: ["n"],
    notNamespaces: ["nn"],
    trustDomains: ["t"],
    notTrustDomains: ["nt"],
    serviceAccounts: ["a"],
    notServiceAccounts: ["na"],
    requestPrincipals: ["r"],
    notRequestPrincipals: ["nr"],
    principals: ["p"],
    notPrincipals: ["np"],
  };
  const operation = {
    ports: ["1"],
    notPorts: ["2"],
    paths: ["/p"],
    notPaths: ["/np"],
    methods: ["GET"],
    notMethods: ["PUT"],
    hosts: ["h"],
    notHosts: ["nh"],
  };
  const sources = [
    ["principals", ["p"], ["np"]],
    ["requestPrincipals", ["r"], ["nr"]],
    ["serviceAccounts", ["a"], ["na"]],
    ["trustDomains", ["t"], ["nt"]],
    ["namespaces", ["n"], ["nn"]],
    ["remoteIpBlocks", ["11.0.0.0/8"], ["11.1.0.0/16"]],
    ["ipBlocks", ["10.0.0.0/8"], ["10.1.0.0/16"]],
  ];
  const operations = [
    ["hosts", ["h"], ["nh"]],
    ["methods", ["GET"], ["PUT"]],
    ["paths", ["/p"], ["/np"]],
    ["ports", ["1"], ["2"]],
  ];
  assert.deepEqual(clausesOf({ from: [{ source }], to: [{ operation }] }), {
    sources: [sources],
    operations: [operations],
  });
  assert.deepEqual(
    clausesOf({ from: [{ source: { notPrincipals: ["x"] } }], to: [{ operation: { hosts: ["h"] } }] }),
    { sources: [[["principals", [], ["x"]]]], operations: [[["hosts", ["h"], []]]] },
  );
});

test("compileRule(): `when`s about the destination stand with each operation, all others with each source", () => {
  const when = [
    { key: "destination.port", values: ["1"] },
    { key: "source.ip", values: ["10.0.0.1"] },
    { key: "connection.sni", notValues: ["s"] },
    { key: "request.headers[x]", values: ["v"] },
    { key: "destination.ip", values: ["10.0.0.2"] },
  ];
  const caller = [
    ["source.ip", ["10.0.0.1"], []],
    ["request.headers[x]", ["v"], []],
  ];
  const destination = [
    ["destination.port", ["1"], []],
    ["connection.sni", [], ["s"]],
    ["destination.ip", ["10.0.0.2"], []],
  ];
  assert.deepEqual(clausesOf({ when }), { sources: [caller], operations: [destination] });
  assert.deepEqual(
    clausesOf({
      from: [{ source: { namespaces: ["a"] } }, { source: { namespaces: ["b"] } }],
      to: [{ operation: { ports: ["2"] } }, {}],
      when,
    }),
    {
      sources: [
        [["namespaces", ["a"], []], ...caller],
        [["namespaces", ["b"], []], ...caller],
      ],
      operations: [[["ports", ["2"], []], ...destination], destination],
    },
  );
});

test("HTTP attributes on a TCP port: ALLOW loses the rule, DENY, AUDIT and CUSTOM only the attribute", () => {
  const spec = {
    from: [{ source: { requestPrincipals: ["*"], namespaces: ["n"] } }],
    to: [{ operation: { paths: ["/p"], ports: ["1"] } }],
    when: [{ key: "request.headers[x]", values: ["v"] }],
  };
  assert.equal(clausesOf(spec, { ...HTTP, http: false }), null);
  for (const action of ["DENY", "AUDIT", "CUSTOM"] as const)
    assert.deepEqual(clausesOf(spec, { ...HTTP, http: false, action }), {
      sources: [[["namespaces", ["n"], []]]],
      operations: [[["ports", ["1"], []]]],
    });
});

test("ALLOW on TCP: one HTTP attribute anywhere drops the whole rule, beside clauses without any", () => {
  const rules: readonly RuleSpec[] = [
    { from: [{ source: { notRequestPrincipals: ["*"] } }, {}] },
    { to: [{}, { operation: { notMethods: ["GET"] } }] },
    { when: [{ key: "request.auth.claims[a]", values: ["x"] }] },
  ];
  for (const spec of rules) {
    assert.equal(clausesOf(spec, { ...HTTP, http: false }), null);
    assert.notEqual(clausesOf(spec), null);
  }
});

test("a value that cannot be compiled, or a key that does not exist, is as an attribute that cannot be had: ALLOW loses the rule", () => {
  const deny = { ...HTTP, action: "DENY" } as const;
  const nothing = { sources: [[]], operations: [[]] };
  const specs: readonly RuleSpec[] = [
    { from: [{ source: { ipBlocks: ["10.0.0.0/99"] } }] },
    { from: [{ source: { notIpBlocks: ["x"] } }] },
    { to: [{ operation: { ports: ["http"] } }] },
    { when: [{ key: "source.nothing", values: ["x"] }] },
    { when: [{ key: "destination.nothing", notValues: ["x"] }] },
    { when: [{ key: "request.headers", values: ["x"] }] },
    { when: [{ key: "request.headers[]", values: ["x"] }] },
    { when: [{ key: "request.headers[x", values: ["x"] }] },
    { when: [{ key: "request.headers[x]y", values: ["x"] }] },
    { when: [{ key: "request.headers[x][y]", values: ["x"] }] },
    { when: [{ key: "my.request.headers[x]", values: ["x"] }] },
    { when: [{ key: "request.auth.claims", values: ["x"] }] },
    { when: [{ key: "request.auth.claims[]", values: ["x"] }] },
    { when: [{ key: "request.auth.claims[a]b", values: ["x"] }] },
    { when: [{ key: "request.auth.claims[a", values: ["x"] }] },
    { when: [{ key: "my.request.auth.claims[a]", values: ["x"] }] },
  ];
  for (const spec of specs) {
    assert.equal(clausesOf(spec), null, JSON.stringify(spec));
    assert.deepEqual(clausesOf(spec, deny), nothing, JSON.stringify(spec));
  }
});

const CALLER = connect({ sni: "www.example", destinationPort: 8080 });
const REQUEST = get("/", ["x-role", "admin", "x-forwarded-for", "203.0.113.9"]);
REQUEST.jwt = assumedClaims({
  iss: "iss",
  sub: "sub",
  aud: "app",
  azp: "cli",
  a: "1",
  realm: { roles: ["r"] },
  "": "empty",
  "x[y": "odd",
  "k]": "bracket",
});

/** Key of a `when`, a value that holds, one that does not, and what a person is told of what came. */
const WHENS: readonly (readonly [key: string, holds: string, fails: string, seen: string])[] = [
  ["source.ip", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.5"],
  ["remote.ip", "203.0.113.9", "10.1.0.5", "203.0.113.9"],
  ["source.namespace", "foo", "bar", "cluster.local/ns/foo/sa/sleep"],
  [
    "source.principal",
    "cluster.local/ns/foo/sa/sleep",
    "cluster.local/ns/foo/sa/x",
    "cluster.local/ns/foo/sa/sleep",
  ],
  ["source.serviceAccount", "sleep", "bar/sleep", "cluster.local/ns/foo/sa/sleep"],
  ["source.trustDomain", "cluster.local", "foo", "cluster.local/ns/foo/sa/sleep"],
  ["request.auth.principal", "iss/sub", "iss/x", "iss/sub"],
  ["request.auth.audiences", "app", "cli", '"app"'],
  ["request.auth.presenter", "cli", "app", '"cli"'],
  ["request.auth.claims[a]", "1", "2", '"1"'],
  ["request.auth.claims[realm][roles]", "r", "x", '["r"]'],
  ["request.auth.claims[realm]", "*", "r", '{"roles":["r"]}'],
  ["request.auth.claims[x[y]", "odd", "x", '"odd"'],
  ["request.auth.claims[k]]", "bracket", "x", '"bracket"'],
  ["request.auth.claims[][]", "*", "empty", "no such claim"],
  ["request.auth.claims[realm][]", "*", "r", "no such claim"],
  ["destination.ip", "10.20.0.5", "10.1.0.5", "10.20.0.5"],
  ["destination.port", "8080", "80", "8080"],
  ["connection.sni", "www.example", "example", "`www.example`"],
  ["request.headers[x-role]", "admin", "dev", "`admin`"],
  ["request.headers[X-Role]", "adm*", "dev", "`admin`"],
  ["request.headers[:method]", "GET", "PUT", "`GET`"],
];
/** What came is no text, so nothing holds. */
const NEVER: ReadonlySet<string> = new Set([
  "request.auth.claims[realm]",
  "request.auth.claims[][]",
  "request.auth.claims[realm][]",
]);

for (const [key, holds, fails, seen] of WHENS) {
  test(`when ${key} compares what it names, and its notValues are the opposite of its values`, () => {
    const rule = (lists: { values?: string[]; notValues?: string[] }) =>
      compiled({ when: [{ key, ...lists }] });
    const matches = (lists: { values?: string[]; notValues?: string[] }): boolean => {
      const made = rule(lists);
      assert.ok(made !== null);
      return ruleMatches(made, CALLER, REQUEST);
    };
    const can = !NEVER.has(key);
    assert.equal(matches({ values: [holds] }), can);
    assert.equal(matches({ values: [fails, holds] }), can);
    assert.equal(matches({ values: [fails] }), false);
    assert.equal(matches({ notValues: [holds] }), !can);
    assert.equal(matches({ notValues: [fails] }), true);
    assert.equal(matches({ values: [holds], notValues: [fails] }), can);
    assert.equal(matches({ values: [holds], notValues: [holds] }), false);
    const made = rule({ values: [holds] });
    const conditions = [...(made?.sources.flat() ?? []), ...(made?.operations.flat() ?? [])];
    assert.deepEqual(
      conditions.map((condition) => [condition.field, condition.seen(CALLER, REQUEST)]),
      [[key, seen]],
    );
  });
}

test("ruleMatches(): one source and one operation, of each of which all conditions hold", () => {
  const rule = compiled({
    from: [
      { source: { namespaces: ["foo"], ipBlocks: ["10.2.0.0/16"] } },
      { source: { namespaces: ["bar"] } },
      { source: { namespaces: ["foo"], ipBlocks: ["10.1.0.0/16"] } },
    ],
    to: [{ operation: { methods: ["PUT"] } }, { operation: { methods: ["GET"], paths: ["/a"] } }],
  });
  assert.ok(rule !== null);
  const from = (namespace: string, sourceIp: string) =>
    connect({ principal: `cluster.local/ns/${namespace}/sa/x`, sourceIp });
  const matches = (namespace: string, ip: string, method: string, path: string): boolean =>
    ruleMatches(rule, from(namespace, ip), get(path, [], method));
  assert.ok(matches("foo", "10.1.0.5", "GET", "/a"));
  assert.ok(matches("foo", "10.2.0.5", "PUT", "/b"));
  assert.ok(matches("bar", "10.9.0.5", "GET", "/a"));
  assert.ok(!matches("foo", "10.9.0.5", "GET", "/a"));
  assert.ok(!matches("baz", "10.1.0.5", "GET", "/a"));
  assert.ok(!matches("foo", "10.1.0.5", "GET", "/b"));
  assert.ok(!matches("foo", "10.1.0.5", "POST", "/a"));
});
