import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  chooseTarget,
  followsAuthority,
  plainTarget,
  unusable,
  withAuthority,
} from "../../../src/policy/outbound/targets.ts";
import type { ClusterPlan, ClusterTls } from "../../../src/policy/outbound/types.ts";
import { planWith, TLS } from "./plans.ts";

const NO_OPS = { remove: [], set: [], add: [] };

function plan(tlsSettings: Partial<ClusterTls>): ClusterPlan {
  return planWith({ tlsSettings: { ...TLS, ...tlsSettings } });
}

describe("plainTarget()", () => {
  const plain = { weight: 1, requestHeaders: NO_OPS, responseHeaders: NO_OPS };

  test("has the cluster, and the names that are the same for all requests", () => {
    const cases: readonly [ClusterPlan, object][] = [
      [planWith(), {}],
      [plan({}), {}],
      [plan({ sni: "s" }), { sni: "s" }],
      [plan({ sans: ["a"] }), { sans: ["a"] }],
      [plan({ sni: "s", sans: ["a", "b"] }), { sni: "s", sans: ["a", "b"] }],
    ];
    for (const [cluster, names] of cases)
      assert.deepEqual(plainTarget("c", cluster), { name: "c", cluster, ...names, ...plain });
  });

  test("without cluster is a name; the weight is 1 unless given; nobody can change it", () => {
    assert.deepEqual(plainTarget("c", undefined), { name: "c", ...plain });
    assert.deepEqual(plainTarget("c", undefined, 0), { name: "c", ...plain, weight: 0 });
    assert.ok(Object.isFrozen(plainTarget("c", undefined)));
  });
});

test("followsAuthority(): some target's name or place is the request's", () => {
  const follows = (...plans: (ClusterPlan | undefined)[]): boolean =>
    followsAuthority(plans.map((cluster) => plainTarget("c", cluster)));
  assert.equal(follows(), false);
  assert.equal(follows(undefined, planWith(), plan({ sni: "s" })), false);
  assert.equal(follows(planWith({ resolution: "dynamic-dns" })), true);
  assert.equal(follows(planWith({ resolution: "dns" })), false);
  assert.equal(follows(planWith(), plan({ sniFromAuthority: true })), true);
  assert.equal(follows(plan({ sansFromAuthority: true }), undefined), true);
});

describe("withAuthority()", () => {
  const BOTH = { sniFromAuthority: true, sansFromAuthority: true };
  const CASES: readonly [name: string, tls: Partial<ClusterTls>, authority: string, names: object][] = [
    ["nothing where nothing is asked for", {}, "web", {}],
    ["the names that the rule gives", { sni: "s", sans: ["a"] }, "web", { sni: "s", sans: ["a"] }],
    ["both of the Host", BOTH, "Web.example:8443", { sni: "Web.example", sans: ["Web.example"] }],
    ["the server name alone", { sniFromAuthority: true }, "web", { sni: "web" }],
    ["the certificate's name alone", { sansFromAuthority: true }, "web", { sans: ["web"] }],
    ["names given stay", { ...BOTH, sans: ["a"] }, "web", { sni: "web", sans: ["a"] }],
    ["no server name for an address", BOTH, "192.0.2.1:443", { sans: ["192.0.2.1"] }],
    ["no server name for an address of six", BOTH, "[2001:db8::1]:443", { sans: ["[2001:db8::1]"] }],
    [
      "one for a name that begins as an address",
      BOTH,
      "192.0.2.1.nip.io",
      {
        sni: "192.0.2.1.nip.io",
        sans: ["192.0.2.1.nip.io"],
      },
    ],
    ["one for a name that ends as an address", BOTH, "a.1", { sni: "a.1", sans: ["a.1"] }],
    ["one for a name with a bracket", BOTH, "a[b", { sni: "a[b", sans: ["a[b"] }],
  ];
  for (const [name, tls, authority, names] of CASES)
    test(name, () => {
      const cluster = plan(tls);
      assert.deepEqual(withAuthority(plainTarget("c", cluster), authority), {
        ...plainTarget("c", planWith()),
        cluster,
        ...names,
      });
    });

  test("a target's own Host stands before the request's", () => {
    const target = { ...plainTarget("c", plan(BOTH)), authority: "own:1" };
    assert.deepEqual(withAuthority(target, "web"), { ...target, sni: "own", sans: ["own"] });
  });

  test("a target without names of the request's is the very same", () => {
    for (const cluster of [undefined, planWith(), plan({ sni: "s" })]) {
      const target = plainTarget("c", cluster);
      assert.equal(withAuthority(target, "web"), target);
    }
  });
});

test("unusable(): no cluster at all, or none that can be reached, among those of weight above 0", () => {
  const empty = planWith({ endpoints: [] });
  const reason = (...targets: (readonly [ClusterPlan | undefined, number])[]): string | undefined =>
    unusable(targets.map(([cluster, weight]) => plainTarget("c", cluster, weight)));
  assert.equal(reason(), "no-cluster");
  assert.equal(reason([undefined, 1]), "no-cluster");
  assert.equal(reason([empty, 1]), "no-healthy-upstream");
  assert.equal(reason([undefined, 1], [empty, 1]), "no-healthy-upstream");
  assert.equal(reason([undefined, 1], [planWith(), 1]), undefined);
  assert.equal(reason([undefined, 1], [planWith(), 0]), "no-cluster");
  assert.equal(reason([empty, 1], [planWith(), 1]), undefined);
  assert.equal(reason([planWith({ endpoints: [], resolution: "original-destination" }), 1]), undefined);
  assert.equal(reason([planWith({ endpoints: [], resolution: "dynamic-dns" }), 1]), undefined);
  assert.equal(reason([planWith({ endpoints: [], resolution: "dns" }), 1]), "no-healthy-upstream");
});

test("chooseTarget(): each has its share of the rolls, those without weight none", () => {
  const targets = [0, 1, 0, 3, 0].map((weight, index) => plainTarget(`t${index}`, undefined, weight));
  const chosen = (roll: number): string | undefined => chooseTarget(targets, roll)?.name;
  assert.deepEqual([0, 0.2499, 0.25, 0.9999, 1].map(chosen), ["t1", "t1", "t3", "t3", "t3"]);
  assert.equal(chooseTarget([], 0), undefined);
  assert.equal(chooseTarget([plainTarget("t", undefined, 0)], 0), undefined);
});
