import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ruleMatches } from "../../src/policy/authorization-rule.ts";
import type { RuleSpec } from "../../src/policy/authorization-spec.ts";
import { Connection } from "../../src/policy/connection.ts";
import { HttpRequest } from "../../src/policy/http-request.ts";
import type { Semantics } from "../../src/policy/inbound.ts";
import { type CidrBlock, cidrContains, parseCidrBlock, parseIpAddress } from "../../src/policy/ip-address.ts";
import { NO_TOKEN } from "../../src/policy/jwt/jwt-result.ts";
import { AddressTree, blockKey } from "../../src/policy/rule-index/address-tree.ts";
import { RadixTree } from "../../src/policy/rule-index/radix-tree.ts";
import { firstMatch, type IndexedRuleSet, type RankedRule } from "../../src/policy/rule-set.ts";
import { type ArbitraryCall, arbitraryCall, arbitraryRule } from "./arbitrary-authorization.ts";
import { authorization, MESH_HTTP_ALPN, meshConfig, policyOf } from "./inbound-fixture.ts";

const SEED = 20260823;
const CONFIG = meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n");

/** What the index must find, found one rule after the other. */
function linearMatch(
  { rules }: IndexedRuleSet,
  connection: Connection,
  request: HttpRequest | null,
): RankedRule | null {
  return rules.find(({ rule }) => ruleMatches(rule, connection, request)) ?? null;
}

function nameOf(found: RankedRule | null): string {
  return found === null ? "none" : `${found.rule.policy} rule ${found.rule.index}`;
}

function connectionOf({ principal, sourceIp, sni, port }: ArbitraryCall): Connection {
  return new Connection({
    tls: principal === null ? "plaintext" : "mtls",
    principal,
    sourceIp,
    destinationIp: "10.20.0.5",
    destinationPort: port,
    sni,
    alpn: principal === null ? [] : MESH_HTTP_ALPN,
  });
}

function requestOf({ method, path, host, headers, claims }: ArbitraryCall): HttpRequest {
  const request = HttpRequest.read("NONE", method, path, host, headers.flat());
  assert.ok(request !== null);
  request.jwt = { ...NO_TOKEN, claims };
  return request;
}

/** Values that few rules share, so that splitting pays: `cluster.local/ns/n3/sa/a7`. */
const several = (make: (number: number) => string, most: number): fc.Arbitrary<string[]> =>
  fc.uniqueArray(fc.nat(most - 1).map(make), { minLength: 1, maxLength: 3 });

const MANY = 12;
const account = (number: number): string => `cluster.local/ns/n${number % 4}/sa/a${number}`;
const path = (number: number): string =>
  [`/p${number}`, `/p${number}*`, `*${number}`, `/p${number}/{*}`][number % 4] ?? "/";

const SOURCES: readonly fc.Arbitrary<Record<string, string[]>>[] = [
  several(account, MANY).map((principals) => ({ principals })),
  several((number) => `n${number % 4}`, MANY).map((namespaces) => ({ namespaces })),
  several((number) => `n${number % 4}/a${number}`, MANY).map((serviceAccounts) => ({ serviceAccounts })),
  several((number) => `10.${number % 3}.${number}.0/24`, MANY).map((ipBlocks) => ({ ipBlocks })),
  several((number) => `10.${number}.0.0/${12 + number}`, MANY).map((remoteIpBlocks) => ({ remoteIpBlocks })),
  several((number) => `iss/s${number}`, MANY).map((requestPrincipals) => ({ requestPrincipals })),
];

const operation: fc.Arbitrary<Record<string, string[]>> = fc.record(
  {
    methods: several((number) => ["GET", "POST", "PUT"][number % 3] ?? "GET", 3),
    paths: several(path, MANY),
    hosts: several((number) => (number % 2 === 0 ? `H${number}` : `*.d${number}`), MANY),
    ports: several((number) => String(8080 + number), 3),
    notPaths: several(path, MANY),
  },
  { requiredKeys: [] },
);

const when = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  {
    weight: 1,
    arbitrary: several((number) => `r${number}`, MANY).map((values) => [
      { key: "request.headers[x-role]", values },
    ]),
  },
  {
    weight: 1,
    arbitrary: several((number) => `g${number}`, MANY).map((values) => [
      { key: "request.auth.claims[groups]", values },
    ]),
  },
);

/** Rules as they are written in great numbers: all but few name callers in the same way. */
const ordinaryRules: fc.Arbitrary<RuleSpec[]> = fc.constantFrom(...SOURCES).chain((usual) => {
  const source = fc.oneof(
    { weight: 40, arbitrary: usual },
    { weight: 1, arbitrary: fc.oneof(...SOURCES, fc.constant({})) },
  );
  const rule = fc.record({ source, operation, when }).map((fields) => ({
    from: [{ source: fields.source }],
    to: [{ operation: fields.operation }],
    when: fields.when,
  }));
  return fc.array(rule, { minLength: 40, maxLength: 160 });
});

const ordinaryCall: fc.Arbitrary<ArbitraryCall> = fc
  .record({
    number: fc.nat(MANY - 1),
    other: fc.nat(MANY - 1),
    third: fc.nat(MANY - 1),
    roles: fc.array(fc.nat(MANY - 1), { maxLength: 4 }),
    forwarded: fc.boolean(),
    odd: fc.constantFrom(false, false, false, true),
  })
  .map(({ number, other, third, roles, forwarded, odd }) => ({
    principal: odd ? `cluster.local/ns/n${number % 4}/x/sa/a${number}` : account(number),
    sourceIp: `10.${number % 3}.${number}.9`,
    sni: "",
    port: 8080 + (other % 3),
    http: true,
    method: ["GET", "POST", "PUT"][third % 3] ?? "GET",
    path: [`/p${other}`, `/p${other}/x`, `/p${other}x?q=1`][third % 3] ?? "/",
    host: other % 2 === 0 ? `h${other}` : `x.d${third}`,
    headers: [
      ...roles.map((role) => ["x-role", `r${role}`] as const),
      ...(forwarded ? [["x-forwarded-for", `10.${third}.0.1`] as const] : []),
    ],
    claims: { iss: "iss", sub: `s${number}`, groups: [`g${other}`, 7, `g${third}`] },
  }));

function assertAgrees(
  rules: readonly RuleSpec[],
  calls: readonly ArbitraryCall[],
  semantics: Semantics,
): number {
  const half = Math.ceil(rules.length / 4);
  const policy = policyOf(
    [
      CONFIG,
      authorization("d", { action: "DENY", rules: rules.slice(0, half) }),
      authorization("a", { rules: rules.slice(half) }),
      authorization("audited", { action: "AUDIT", rules }),
    ],
    semantics,
  );
  let matched = 0;
  for (const call of calls) {
    const connection = connectionOf(call);
    for (const { set, asked } of [
      { set: policy.http.enforced, asked: requestOf(call) },
      { set: policy.tcp.enforced, asked: null },
      ...policy.http.observers.map((observer) => ({ set: observer.set, asked: requestOf(call) })),
    ]) {
      const linear = linearMatch(set, connection, asked);
      assert.equal(nameOf(firstMatch(set, connection, asked)), nameOf(linear));
      if (linear !== null) matched++;
    }
  }
  return matched;
}

for (const semantics of ["istio", "strict"] as const) {
  test(`the index finds the rule that a linear scan finds: any rules (${semantics})`, () => {
    fc.assert(
      fc.property(
        fc.array(arbitraryRule, { minLength: 1, maxLength: 80 }),
        fc.array(arbitraryCall, { minLength: 12, maxLength: 12 }),
        (rules, calls) => void assertAgrees(rules, calls, semantics),
      ),
      { seed: SEED, numRuns: 60 },
    );
  });

  test(`the index finds the rule that a linear scan finds: rules that it splits (${semantics})`, () => {
    let matched = 0;
    fc.assert(
      fc.property(ordinaryRules, fc.array(ordinaryCall, { minLength: 20, maxLength: 20 }), (rules, calls) => {
        matched += assertAgrees(rules, calls, semantics);
      }),
      { seed: SEED, numRuns: 60 },
    );
    assert.ok(matched > 500, `too few matches to prove anything: ${matched}`);
  });
}

test("the radix tree finds every prefix of a text and no other, read from either end", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 6 });
  fc.assert(
    fc.property(fc.uniqueArray(text, { minLength: 1, maxLength: 40 }), fc.array(text), (prefixes, texts) => {
      const tree = new RadixTree(prefixes.map((prefix, id) => ({ text: prefix, id })));
      const out = new Int32Array(prefixes.length);
      for (const asked of texts) {
        const reversed = [...asked].toReversed().join("");
        for (const [read, backwards] of [[asked, false] as const, [reversed, true] as const]) {
          const count = tree.collect(read, backwards, out, 0);
          const expected = prefixes.flatMap((prefix, id) => (asked.startsWith(prefix) ? [id] : []));
          assert.deepEqual([...out.subarray(0, count)].sort(byNumber), expected);
        }
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test("the address tree finds every block that holds an address and no other", () => {
  const v4 = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(32)).map(([a, b, length]) => `10.${a}.0.${b}/${length}`);
  const v6 = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(128)).map(([a, b, length]) => `fd0${a}::${b}/${length}`);
  fc.assert(
    fc.property(fc.array(fc.oneof(v4, v6), { minLength: 1, maxLength: 30 }), (texts) => {
      const blocks = new Map<string, CidrBlock>();
      for (const text of texts) {
        const block = parseCidrBlock(text);
        assert.ok(block !== undefined);
        blocks.set(blockKey(block), block);
      }
      const listed = [...blocks.values()];
      const tree = new AddressTree(listed.map((block, id) => ({ block, id })));
      const out = new Int32Array(listed.length);
      for (const text of ["10.0.0.0", "10.1.0.2", "10.3.0.3", "11.0.0.0", "fd00::1", "fd02::2", "::"]) {
        const address = parseIpAddress(text);
        assert.ok(address !== undefined);
        const count = tree.collect(address, out, 0);
        const expected = listed.flatMap((block, id) => (cidrContains(block, address) ? [id] : []));
        assert.deepEqual([...out.subarray(0, count)].sort(byNumber), expected);
      }
    }),
    { seed: SEED, numRuns: 200 },
  );
});

function byNumber(a: number, b: number): number {
  return a - b;
}
