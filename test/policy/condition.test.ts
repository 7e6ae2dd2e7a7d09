import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuthorizationAction } from "../../src/policy/authorization-spec.ts";
import { type Condition, type ConditionContext, compileCondition } from "../../src/policy/condition.ts";
import { filterMetadataField } from "../../src/policy/filter-metadata-field.ts";
import { headerField, METHODS, PORTS } from "../../src/policy/operation-fields.ts";
import { NAMESPACES, PRINCIPALS, SERVICE_ACCOUNTS, SOURCE_IP } from "../../src/policy/source-fields.ts";
import { connect, get } from "./inbound-fixture.ts";

type Semantics = ConditionContext["semantics"];

function contextOf(
  semantics: Semantics,
  action: AuthorizationAction,
  more: Partial<ConditionContext> = {},
): ConditionContext {
  return {
    semantics,
    action,
    policyNamespace: "foo",
    trustDomains: ["cluster.local"],
    federated: [],
    forwardedFor: null,
    http: true,
    ...more,
  };
}

function compiled(...given: Parameters<typeof compileCondition>): Condition {
  const condition = compileCondition(...given);
  assert.ok(typeof condition !== "string");
  return condition;
}

const ISTIO = contextOf("istio", "ALLOW");

test("compileCondition(): values must match, notValues must not, both where both are given, nothing where neither is", () => {
  const ports = (values: readonly string[], notValues: readonly string[]): readonly boolean[] => {
    const condition = compiled("ports", PORTS, values, notValues, ISTIO);
    return [80, 81, 82].map((destinationPort) => condition.matches(connect({ destinationPort }), null));
  };
  assert.deepEqual(ports(["80", "81"], []), [true, true, false]);
  assert.deepEqual(ports([], ["80", "81"]), [false, false, true]);
  assert.deepEqual(ports(["80", "81"], ["81"]), [true, false, false]);
  assert.deepEqual(ports([], []), [true, true, true]);
});

test("compileCondition() keeps what is written and tells what came; keys of a list that is empty are none", () => {
  const { field, values, notValues, keys, notKeys, seen } = compiled(
    "ports",
    PORTS,
    ["80", "80", "81"],
    [],
    ISTIO,
  );
  assert.deepEqual(
    { field, values, notValues, keys, notKeys, seen: seen(connect(), null) },
    {
      field: "ports",
      values: ["80", "80", "81"],
      notValues: [],
      keys: { dimension: { kind: "port", id: "port" }, ports: [80, 81] },
      notKeys: null,
      seen: "8080",
    },
  );
  const negated = compiled("ports", PORTS, [], ["80"], ISTIO);
  assert.deepEqual([negated.keys, negated.notKeys?.dimension.id], [null, "port"]);
});

test("compileCondition(): HTTP fields on TCP and values that cannot be compiled drop an ALLOW rule, and are left out of others", () => {
  const cases: readonly (readonly [Parameters<typeof compileCondition>[1], string, http: boolean])[] = [
    [METHODS, "GET", false],
    [headerField("x"), "y", false],
    [undefined, "x", true],
    [PORTS, "x", true],
    [SOURCE_IP, "x", true],
  ];
  for (const [field, value, http] of cases) {
    for (const lists of [
      [[value], []],
      [[], [value]],
    ] as const) {
      const [values, notValues] = lists;
      const outcome = (action: AuthorizationAction) =>
        compileCondition("f", field, values, notValues, contextOf("istio", action, { http }));
      assert.equal(outcome("ALLOW"), "drop-rule");
      assert.equal(outcome("DENY"), "omit");
      assert.equal(outcome("AUDIT"), "omit");
      assert.equal(outcome("CUSTOM"), "omit");
    }
  }
  assert.notEqual(typeof compileCondition("f", PORTS, ["1"], [], { ...ISTIO, http: false }), "string");
  assert.notEqual(typeof compileCondition("f", METHODS, ["GET"], [], ISTIO), "string");
});

const WHO = {
  own: "cluster.local/ns/foo/sa/sleep",
  "own, of another namespace": "cluster.local/ns/bar/sa/sleep",
  odd: "cluster.local/ns/bar/sa/ns/foo/sa/sleep",
  "odd, of no name": "cluster.local/x",
  federated: "partner.example/ns/foo/sa/sleep",
  "federated, of another namespace": "partner.example/ns/bar/sa/sleep",
  "federated, odd": "partner.example/ns/bar/sa/ns/foo/sa/sleep",
  nobody: null,
} as const;
type Who = keyof typeof WHO;

/** For whom the condition holds. */
function holdsFor(
  [values, notValues]: readonly [readonly string[], readonly string[]],
  context: ConditionContext,
): ReadonlySet<Who> {
  const sets = [
    [NAMESPACES, (name: string) => name],
    [SERVICE_ACCOUNTS, (name: string) => `${name}/sleep`],
  ] as const;
  const [byNamespace, byAccount] = sets.map(([field, valueFor]) => {
    const condition = compiled("f", field, values.map(valueFor), notValues.map(valueFor), context);
    return (Object.keys(WHO) as Who[]).filter((who) =>
      condition.matches(connect({ principal: WHO[who] }), get("/")),
    );
  });
  assert.deepEqual(byNamespace, byAccount, "namespaces and accounts alike");
  return new Set(byNamespace);
}

const FOO = [["foo"], []] as const;
const NOT_FOO = [[], ["foo"]] as const;
const FOO_NOT_BAR = [["foo"], ["bar"]] as const;
const REFUSING = ["DENY", "AUDIT", "CUSTOM"] as const;

test("istio: a name is looked for anywhere in an identity of any trust domain, for every action; nobody has none", () => {
  for (const action of ["ALLOW", ...REFUSING] as const) {
    const context = contextOf("istio", action);
    const foo = new Set<Who>(["own", "odd", "federated", "federated, odd"]);
    assert.deepEqual(holdsFor(FOO, context), foo);
    assert.deepEqual(
      holdsFor(NOT_FOO, context),
      new Set<Who>([
        "own, of another namespace",
        "odd, of no name",
        "federated, of another namespace",
        "nobody",
      ]),
    );
  }
});

test("strict, ALLOW: an odd identity is allowed by no rule that asks for a name, negated or not", () => {
  const context = contextOf("strict", "ALLOW");
  assert.deepEqual(holdsFor(FOO, context), new Set<Who>(["own", "federated"]));
  const others = ["own, of another namespace", "federated, of another namespace", "nobody"] as const;
  assert.deepEqual(holdsFor(NOT_FOO, context), new Set<Who>(others));
  assert.deepEqual(holdsFor(FOO_NOT_BAR, context), new Set<Who>(["own", "federated"]));
});

test("strict, DENY, AUDIT and CUSTOM: an odd identity is hit by every rule that asks for a name, negated or not", () => {
  for (const action of REFUSING) {
    const context = contextOf("strict", action);
    const odd = ["odd", "odd, of no name", "federated, odd"] as const;
    assert.deepEqual(holdsFor(FOO, context), new Set<Who>(["own", "federated", ...odd]));
    const others = ["own, of another namespace", "federated, of another namespace", "nobody"] as const;
    assert.deepEqual(holdsFor(NOT_FOO, context), new Set<Who>([...others, ...odd]));
  }
});

const PARTNER = { federated: ["partner.example"] };

test("federated, ALLOW: no name of this mesh lets an identity of another trust domain in, negated or not", () => {
  const context = contextOf("strict", "ALLOW", PARTNER);
  assert.deepEqual(holdsFor(FOO, context), new Set<Who>(["own"]));
  assert.deepEqual(holdsFor(NOT_FOO, context), new Set<Who>(["own, of another namespace", "nobody"]));
});

test("federated, DENY, AUDIT and CUSTOM: names hit others' identities as this mesh's, but excuse none of them", () => {
  for (const action of REFUSING) {
    const context = contextOf("strict", action, PARTNER);
    const odd = ["odd", "odd, of no name", "federated, odd"] as const;
    assert.deepEqual(holdsFor(FOO, context), new Set<Who>(["own", "federated", ...odd]));
    assert.deepEqual(holdsFor(FOO_NOT_BAR, context), new Set<Who>(["own", "federated", ...odd]));
    const excused = ["own, of another namespace", "nobody", ...odd] as const;
    const partners = ["federated", "federated, of another namespace"] as const;
    assert.deepEqual(holdsFor(NOT_FOO, context), new Set<Who>([...excused, ...partners]));
  }
});

test("principals are guarded in neither way: they name the trust domain themselves", () => {
  const principals = ["partner.example/ns/foo/sa/sleep", "cluster.local/x"];
  for (const semantics of ["istio", "strict"] as const) {
    const context = contextOf(semantics, "ALLOW", semantics === "strict" ? PARTNER : {});
    const { matches } = compiled("principals", PRINCIPALS, principals, [], context);
    const hit = (Object.keys(WHO) as Who[]).filter((who) =>
      matches(connect({ principal: WHO[who] }), get("/")),
    );
    assert.deepEqual(hit, ["odd, of no name", "federated"]);
  }
});

test("metadata of Envoy's filters, which nobody knows: no ALLOW rule holds by it, every other does; under Istio's semantics it is said", () => {
  const key = "experimental.envoy.filters.network.mysql_proxy[db.table]";
  const field = filterMetadataField(key);
  for (const other of [
    "request.headers[x]",
    `x.${key}`,
    `${key}.x`,
    "experimental.envoy.filters.a",
    "experimental.envoy.other[a]",
  ])
    assert.equal(filterMetadataField(other), undefined, other);
  const onTcp = compiled(key, field, ["a"], [], { ...ISTIO, http: false });
  assert.equal(onTcp.unknowable, true, "filters of TCP note things, too");
  for (const semantics of ["istio", "strict"] as const)
    for (const action of ["ALLOW", "DENY", "AUDIT", "CUSTOM"] as const)
      for (const [values, notValues] of [
        [["a"], []],
        [[], ["a"]],
      ] as const) {
        const condition = compiled(key, field, values, notValues, contextOf(semantics, action));
        assert.equal(condition.matches(connect(), get("/")), action !== "ALLOW", `${semantics} ${action}`);
        assert.equal(condition.unknowable === true, semantics === "istio");
      }
  assert.equal("unknowable" in compiled("f", METHODS, ["GET"], [], ISTIO), false);
});
