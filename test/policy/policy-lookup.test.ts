import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { matchesLabels } from "../../src/model/selector.ts";
import { policiesFor } from "../../src/policy/policy-lookup.ts";
import type { Resource } from "../../src/resources/resource.ts";

const namespace = fc.constantFrom("a", "b", "istio-system");
const labels = fc.dictionary(fc.constantFrom("app", "tier", "x"), fc.constantFrom("1", "2"), { maxKeys: 3 });
const spec = fc.record(
  { selector: fc.record({ matchLabels: labels }), targetRefs: fc.constant([{ kind: "Gateway", name: "g" }]) },
  { requiredKeys: [] },
);

function policy(namespace: string, spec: unknown, at: number): Resource {
  return { kind: "AuthorizationPolicy", namespace, name: `p${at}`, spec } as unknown as Resource;
}

test("policiesFor() finds what a look at every policy finds, in the same order", () => {
  const property = fc.property(
    fc.array(fc.tuple(namespace, spec), { maxLength: 12 }),
    fc.record({ namespace, labels }),
    (given, workload) => {
      const policies = given.map(([own, fields], at) => policy(own, fields, at));
      const expected = policies.filter(({ namespace, spec }) => {
        const { selector, targetRefs } = spec as { selector?: { matchLabels: object }; targetRefs?: unknown };
        const near = namespace === workload.namespace || namespace === "istio-system";
        const chosen = { ...(targetRefs === undefined ? selector?.matchLabels : {}) };
        return near && matchesLabels(chosen, workload.labels);
      });
      assert.deepEqual(policiesFor(policies, workload, "istio-system"), expected);
    },
  );
  fc.assert(property, { numRuns: 500, seed: 20261122 });
});
