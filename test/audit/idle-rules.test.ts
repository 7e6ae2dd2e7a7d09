/** Rules that are told to change nothing do change nothing, on random policies: `diff` says so of the mesh without them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AuditContext } from "../../src/analysis/audit/audit-context.ts";
import { idleRules } from "../../src/analysis/audit/facts/rule-effects.ts";
import { diffAccess } from "../../src/analysis/diff/diff-access.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { RuleSpec } from "../../src/policy/authorization-spec.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { type ArbitraryPolicy, arbitraryPolicies } from "../policy/arbitrary-authorization.ts";
import { authorization, meshConfig, meshOf, resource } from "../policy/inbound-fixture.ts";
import { NOW } from "./audit-folder.ts";

const SEED = 20261122;
const CONFIG = meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n");
const TOKENS = resource("RequestAuthentication", "tokens", {
  jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: '{"keys":[]}' })),
});

/** @param gone rules by policy; a DENY without any is no policy */
function meshWithout(
  policies: readonly ArbitraryPolicy[],
  mode: string,
  gone: ReadonlyMap<string, ReadonlySet<number>> = new Map(),
): Mesh {
  const transport = resource("PeerAuthentication", "default", { mtls: { mode } });
  const resources = policies.flatMap(({ name, namespace, spec }): readonly Resource[] => {
    const rules = (spec as { rules?: readonly RuleSpec[] }).rules ?? [];
    const left = rules.filter((_, index) => gone.get(`${namespace}/${name}`)?.has(index) !== true);
    const isDeny = (spec as { action?: string }).action === "DENY";
    return isDeny && left.length === 0 ? [] : [authorization(name, { ...spec, rules: left }, { namespace })];
  });
  return meshOf(CONFIG, TOKENS, transport, ...resources);
}

/** So that rules often say what others say. */
const repeated = fc
  .tuple(arbitraryPolicies, fc.nat(), fc.nat())
  .map(([policies, from, to]): readonly ArbitraryPolicy[] => {
    const source = policies[from % Math.max(policies.length, 1)];
    const target = policies[to % Math.max(policies.length, 1)];
    const copied = (source?.spec as { rules?: readonly RuleSpec[] } | undefined)?.rules?.[0];
    if (target === undefined || copied === undefined) return policies;
    const rules = (target.spec as { rules?: readonly RuleSpec[] }).rules ?? [];
    return policies.map((policy) =>
      policy === target ? { ...policy, spec: { ...policy.spec, rules: [...rules, copied] } } : policy,
    );
  });

test("all rules that are told to be idle go together, and nobody gets in or is kept out by that", () => {
  let told = 0;
  fc.assert(
    fc.property(repeated, fc.constantFrom("STRICT", "PERMISSIVE", "DISABLE"), (policies, mode) => {
      const before = meshWithout(policies, mode);
      const audit = new AuditContext(before, [], { now: NOW });
      const gone = new Map<string, Set<number>>();
      for (const { policy, rule, action, reason } of audit.fact(idleRules)) {
        // On TCP a DENY that is dead on HTTP may deny all: that it is dead says nothing of that.
        if (reason === "dead" && action === "DENY") continue;
        const key = `${policy.namespace}/${policy.name}`;
        gone.set(key, (gone.get(key) ?? new Set()).add(rule));
        told++;
      }
      const { changes } = diffAccess(before, meshWithout(policies, mode, gone), { semantics: "istio" });
      assert.deepEqual(changes, []);
    }),
    { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 6) },
  );
  assert.ok(told > 3, `${told} rules were told`);
});
