import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Condition,
  type ConditionContext,
  compileCondition,
  type Field,
} from "../../src/policy/condition.ts";
import type { Connection } from "../../src/policy/connection.ts";
import { parseCidrBlock, parseIpAddress } from "../../src/policy/ip-address.ts";
import { ACCOUNT, NAMESPACE, SUBJECT } from "../../src/policy/rule-index/dimension.ts";
import {
  DESTINATION_IP,
  NAMESPACES,
  PRINCIPALS,
  REMOTE_IP,
  SERVICE_ACCOUNTS,
  SOURCE_IP,
  TRUST_DOMAINS,
} from "../../src/policy/source-fields.ts";
import { connect, get } from "./inbound-fixture.ts";

const ISTIO: ConditionContext = {
  semantics: "istio",
  action: "ALLOW",
  policyNamespace: "own",
  trustDomains: ["my.domain", "old.domain"],
  federated: [],
  forwardedFor: { entryFromRight: 0 },
  http: true,
};
const STRICT: ConditionContext = { ...ISTIO, semantics: "strict" };

function condition(field: Field, values: string[], context: ConditionContext): Condition {
  const compiled = compileCondition("field", field, values, [], context);
  assert.ok(typeof compiled !== "string", "the values compile");
  return compiled;
}

const of = (principal: string | null): Connection => connect({ principal });

/** Field, values, identities that match, identities that do not: whatever the semantics. */
const IDENTITIES: readonly (readonly [string, Field, string[], string[], (string | null)[]])[] = [
  [
    "principals",
    PRINCIPALS,
    ["cluster.local/ns/a/sa/b", "x/*", "*/end"],
    ["my.domain/ns/a/sa/b", "old.domain/ns/a/sa/b", "x/ns/c/sa/d", "z/end"],
    ["cluster.local/ns/a/sa/b", "other/ns/a/sa/b", "my.domain/ns/a/sa/bb", null],
  ],
  ["principals", PRINCIPALS, ["*"], ["a", "a/ns/b/sa/c", "dns:x"], [null]],
  [
    "trustDomains",
    TRUST_DOMAINS,
    ["my.domain"],
    ["my.domain/ns/a/sa/b", "old.domain/x"],
    ["older.domain/ns/a/sa/b", "my.domain", "dns:my.domain", null],
  ],
  ["trustDomains", TRUST_DOMAINS, ["x", "y*"], ["x/a", "yz/a"], ["xy/a", "my.domain/a", null]],
  [
    "namespaces",
    NAMESPACES,
    ["a", "p*", "*s", "m*d*e"],
    ["td/ns/a/sa/x", "td/ns/p/sa/x", "td/ns/pq/sa/x", "td/ns/as/sa/x", "td/ns/mde/sa/x", "td/ns/m-d-e/sa/x"],
    ["td/ns/b/sa/x", "td/ns/ap/sa/x", "td/ns/sa/sa/x", "td/ns/me/sa/x", "td/ns/med/sa/x", null],
  ],
  ["namespaces", NAMESPACES, ["*"], ["td/ns/a/sa/x"], ["td", null]],
  ["namespaces", NAMESPACES, ["a"], ["td/ns/a/sa/x"], ["td/ns/aba/sa/x"]],
  ["namespaces", NAMESPACES, ["*b*"], ["td/ns/b/sa/x", "td/ns/abc/sa/x"], ["td/ns/a/sa/x"]],
  ["namespaces", NAMESPACES, ["ab*ba"], ["td/ns/abba/sa/x"], ["td/ns/aba/sa/x"]],
  ["namespaces", NAMESPACES, ["a*bc*cd"], ["td/ns/abccd/sa/x"], ["td/ns/abcd/sa/x", "td/ns/acd/sa/x"]],
  ["namespaces", NAMESPACES, ["a*b*b*c"], ["td/ns/abbc/sa/x"], ["td/ns/abc/sa/x"]],
  [
    "serviceAccounts",
    SERVICE_ACCOUNTS,
    ["n/a", "b"],
    ["td/ns/n/sa/a", "td/ns/own/sa/b"],
    ["td/ns/n/sa/b", "td/ns/own/sa/a", "td/ns/n/sa/ab", "td", null],
  ],
];

for (const context of [ISTIO, STRICT])
  for (const [name, field, values, yes, no] of IDENTITIES)
    test(`${name} ${JSON.stringify(values)} match ${yes.length} identities and not ${no.length} (${context.semantics})`, () => {
      const { matches } = condition(field, values, context);
      assert.deepEqual(
        [...yes, ...no].filter((principal) => matches(of(principal), null)),
        yes,
      );
    });

test("strict semantics look at the namespace and account alone, Istio's at the whole identity, as a text", () => {
  const both = (field: Field, value: string, principal: string) =>
    [ISTIO, STRICT].map((context) => condition(field, [value], context).matches(of(principal), null));
  assert.deepEqual(both(NAMESPACES, "a", "td/ns/foo/sa/x/ns/a/y"), [true, false]);
  assert.deepEqual(both(NAMESPACES, "ns/sa", "td/ns/ns/sa/ns"), [true, false]);
  assert.deepEqual(both(SERVICE_ACCOUNTS, "foo/x", "td/ns/foo/sa/x/more"), [true, false]);
  assert.deepEqual(both(SERVICE_ACCOUNTS, "foo/x", "td/ns/foo/sa/x"), [true, true]);
  const longer = of("td/ns/foo/sa/x/more");
  const alone = [ISTIO, STRICT].map((context) =>
    SERVICE_ACCOUNTS.compile(["foo/x"], context)?.(longer, null),
  );
  assert.deepEqual(alone, [true, false]);
});

test("identities are told as the certificate has them", () => {
  for (const field of [PRINCIPALS, TRUST_DOMAINS, NAMESPACES, SERVICE_ACCOUNTS]) {
    assert.equal(field.http, false);
    assert.equal(field.seen(of("td/ns/a/sa/b"), null, ISTIO), "td/ns/a/sa/b");
    assert.equal(field.seen(of(null), null, ISTIO), "no client certificate");
  }
  assert.deepEqual(
    [PRINCIPALS, TRUST_DOMAINS, NAMESPACES, SERVICE_ACCOUNTS].map(({ account }) => account),
    [undefined, undefined, true, true],
  );
});

const patterns = (exact: string[], prefixes: string[] = [], suffixes: string[] = [], any = false) => ({
  any,
  exact: new Set(exact),
  prefixes,
  suffixes,
});

test("keys: a principal is found by the whole name, in all of the mesh's domains; patterns of its end are not decisive", () => {
  const keys = (...values: string[]) => PRINCIPALS.keys?.(values, ISTIO);
  assert.deepEqual(keys("my.domain/ns/a/sa/b", "x/*"), {
    dimension: SUBJECT,
    patterns: patterns(["spiffe://my.domain/ns/a/sa/b", "spiffe://old.domain/ns/a/sa/b"], ["spiffe://x/"]),
    decisive: true,
  });
  assert.deepEqual(keys("a", "*/b"), {
    dimension: SUBJECT,
    patterns: patterns(["spiffe://a"], [], ["/b"]),
    decisive: false,
  });
  assert.deepEqual(keys("*"), { dimension: SUBJECT, patterns: patterns([], [], [], true), decisive: false });
  assert.equal(TRUST_DOMAINS.keys, undefined);
});

test("keys: namespaces with a star have none, nor, as Istio reads them, those with a slash", () => {
  const keys = (context: ConditionContext, ...values: string[]) => NAMESPACES.keys?.(values, context);
  for (const context of [ISTIO, STRICT]) {
    assert.deepEqual(keys(context, "a", "b"), {
      dimension: NAMESPACE,
      patterns: patterns(["a", "b"]),
      decisive: false,
    });
    assert.equal(keys(context, "a", "b*"), null);
  }
  assert.equal(keys(ISTIO, "a", "b/c"), null);
  assert.deepEqual(keys(STRICT, "b/c"), {
    dimension: NAMESPACE,
    patterns: patterns(["b/c"]),
    decisive: false,
  });
});

test("keys: accounts by namespace and name, the policy's namespace where they name none", () => {
  assert.deepEqual(SERVICE_ACCOUNTS.keys?.(["a", "n/b", "n/*"], ISTIO), {
    dimension: ACCOUNT,
    patterns: patterns(["own/a", "n/b", "n/*"]),
    decisive: false,
  });
});

/** Field, its dimension, and what it reads of a connection from 10.1.0.5 for 10.9.0.1 to 10.20.0.5, forwarded for 10.7.0.1. */
const ADDRESSES: readonly (readonly [string, Field, string, string])[] = [
  ["source.ip", SOURCE_IP, "10.1.0.5", "10.1.0.5"],
  ["destination.ip", DESTINATION_IP, "10.20.0.5", "10.20.0.5"],
  ["remote.ip", REMOTE_IP, "10.7.0.1", "10.9.0.1"],
];

for (const [id, field, ofRequest, ofConnection] of ADDRESSES)
  test(`${id} is ${ofRequest} of the request, ${ofConnection} of the connection`, () => {
    const call = connect({ remoteIp: "10.9.0.1" });
    const request = get("/", ["x-forwarded-for", "10.8.0.1, 10.7.0.1"]);
    assert.equal(field.http, false);
    assert.equal(field.seen(call, request, ISTIO), ofRequest);
    assert.equal(field.seen(call, null, ISTIO), ofConnection);
    const matches = (...values: string[]) => {
      const own = condition(field, values, ISTIO);
      return [own.matches(call, request), own.matches(call, null)];
    };
    assert.deepEqual(matches("192.168.0.0/16", ofRequest), [true, ofRequest === ofConnection]);
    assert.deepEqual(matches(`${ofConnection}/32`), [ofRequest === ofConnection, true]);
    assert.deepEqual(matches("10.0.0.0/8"), [true, true]);
    assert.deepEqual(matches("fd00::/8", "11.0.0.0/8"), [false, false]);
    const keys = field.keys?.(["10.0.0.0/8", "fd00::1"], ISTIO);
    assert.ok(keys && "blocks" in keys);
    assert.deepEqual([keys.dimension.kind, keys.dimension.id], ["address", id]);
    assert.deepEqual(keys.blocks, [parseCidrBlock("10.0.0.0/8"), parseCidrBlock("fd00::1")]);
    assert.deepEqual(keys.dimension.addressOf(call, request), parseIpAddress(ofRequest));
    assert.deepEqual(keys.dimension.addressOf(call, null), parseIpAddress(ofConnection));
  });

test("an address that does not parse matches nothing, and is told to be unknown", () => {
  const call = connect({ sourceIp: "?", destinationIp: "?" });
  for (const [, field] of ADDRESSES) {
    assert.equal(field.seen(call, null, ISTIO), "an unknown address");
    assert.ok(!condition(field, ["0.0.0.0/0", "::/0"], ISTIO).matches(call, null));
  }
});

test("a block that does not parse drops the rule of an ALLOW, beside good ones too", () => {
  for (const [, field] of ADDRESSES)
    assert.equal(compileCondition("f", field, ["10.0.0.0/8", "10.0.0.0/99"], [], ISTIO), "drop-rule");
});
