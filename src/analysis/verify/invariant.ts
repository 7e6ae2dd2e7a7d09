/** What somebody wants to be so of the requests that workloads let through. */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { type Clause, type CompiledRule, compileRule } from "../../policy/authorization-rule.ts";
import type { AuthorizationAction, RuleSpec } from "../../policy/authorization-spec.ts";
import type { Condition } from "../../policy/condition.ts";
import type { Span } from "../../resources/diagnostic.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import type { RequestRules } from "../space/server-space.ts";

/**
 * `never`: no request that a rule matches is let through. `always`: every one is. `only`: nothing is let through but what a rule
 * matches.
 */
export type Claim = "never" | "always" | "only";

export interface Invariant {
  /** `AccessInvariant namespace/name`, or `built-in name`. */
  readonly name: string;
  readonly claim: Claim;
  readonly rules: readonly RuleSpec[];
  /** In whose namespace short names of service accounts are. */
  readonly namespace: string;
  readonly selects: (workload: Workload) => boolean;
  /** Of what is known of pods that nobody read: which it may select. Absent: any. */
  readonly scope?: { readonly namespace?: string; readonly labels?: Labels };
  /** Where it stands; absent for what is built in. */
  readonly span?: Span;
}

interface InvariantSpec extends Partial<Readonly<Record<Claim, readonly RuleSpec[]>>> {
  readonly selector?: { readonly matchLabels?: Labels };
}

export function isInvariant({ apiVersion, kind }: Resource): boolean {
  return apiVersion === "bulwark.dev/v1" && kind === "AccessInvariant";
}

/** @param resource a valid one. It is for workloads of its namespace; one of the root namespace, for those of all. */
export function invariantOf(resource: Resource, { config }: Mesh): Invariant {
  const spec = resource.spec as InvariantSpec;
  const labels = spec.selector?.matchLabels ?? {};
  const isForAll = resource.namespace === config.rootNamespace;
  const claim = (["never", "always", "only"] as const).find((one) => spec[one] !== undefined);
  if (claim === undefined) throw new Error("BUG: an invariant without a claim passed validation");
  return {
    name: resourceName(resource),
    claim,
    rules: spec[claim] ?? [],
    namespace: resource.namespace,
    selects: (workload) =>
      (isForAll || workload.namespace === resource.namespace) && matchesLabels(labels, workload.labels),
    scope: { labels, ...(isForAll ? {} : { namespace: resource.namespace }) },
    span: resource.locate(["spec", claim]),
  };
}

/**
 * The requests that the invariant's rules match, so that no proof is wrong: `never` and `always` are compiled as a DENY is, which takes in
 * what is in doubt, `only` as an ALLOW is, which leaves it out. What HTTP is inside a connection that nobody looks into, nobody
 * knows: rules about HTTP are never kept there, and never met; what is `always` let through is HTTP that says so. Names mean what they say
 * (strict semantics), whatever Istio's patterns take besides.
 */
export function requestRules(
  { claim, rules, namespace, name }: Invariant,
  { config }: Mesh,
  known: KnownConditions = new Map(),
): RequestRules {
  const trustDomains = [...new Set([config.trustDomain, ...config.trustDomainAliases])];
  const compile = (rule: RuleSpec, index: number, action: AuthorizationAction, http: boolean) => {
    const compiled = compileRule(rule, { namespace, name }, index, {
      semantics: "strict",
      action,
      policyNamespace: namespace,
      trustDomains,
      federated: config.federatedTrustDomains,
      forwardedFor: { entryFromRight: 0 },
      http,
    });
    return compiled === null ? null : withKnown(compiled, JSON.stringify([namespace, action, http]), known);
  };
  const action = claim === "only" ? "ALLOW" : "DENY";
  const of = (http: boolean): RequestRules["http"] =>
    rules.flatMap((rule, index) => {
      if (claim === "always" && !http && compile(rule, index, "ALLOW", false) === null) return [];
      return compile(rule, index, action, http) ?? [];
    });
  return { http: of(true), tcp: of(false), trustDomains: [...trustDomains, ...config.federatedTrustDomains] };
}

/** By what they say, and where: invariants of one mesh say the same again and again, and what is one object is analysed once at each workload. */
export type KnownConditions = Map<string, Condition>;

/** @param context all that conditions are compiled with, but for what is the mesh's. */
function withKnown(rule: CompiledRule, context: string, known: KnownConditions): CompiledRule {
  const of = (condition: Condition): Condition => {
    const { field, values, notValues } = condition;
    const key = `${context} ${JSON.stringify([field, values, notValues])}`;
    const same = known.get(key) ?? condition;
    known.set(key, same);
    return same;
  };
  const all = (clauses: readonly Clause[]): readonly Clause[] => clauses.map((clause) => clause.map(of));
  return { ...rule, sources: all(rule.sources), operations: all(rule.operations) };
}
