/**
 * AuthorizationPolicies that take the place of today's: rules add up, so that another policy alone would take nothing away. Policies that
 * select more than one workload stay with their selector and without their rules: whatever they selected, and will select, stays closed.
 */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { isDryRun } from "../../policy/authorization.ts";
import type { AuthorizationSpec, RuleSpec } from "../../policy/authorization-spec.ts";
import { attachedPolicies } from "../../policy/policy-attachment.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { type Grant, ruleOf } from "./grants.ts";
import { type Manifest, type ResourceChange, TIGHTENED } from "./manifest.ts";
import type { SelectorGroup } from "./selector-groups.ts";

/** What one group of workloads is to be left with. */
export interface GroupPlan {
  readonly group: SelectorGroup;
  readonly grants: readonly Grant[];
}

export interface AuthorizationChanges {
  readonly changes: readonly ResourceChange[];
  /** The policy of each plan: `AuthorizationPolicy namespace/name`. */
  readonly policyOf: ReadonlyMap<GroupPlan, string>;
  /** Plans that cannot be carried out beside the others, and why. */
  readonly impossible: ReadonlyMap<GroupPlan, string>;
}

type Policy = Resource<AuthorizationSpec & { readonly selector?: { readonly matchLabels?: Labels } }>;

/** @param groups all of the mesh. */
export function authorizationChanges(
  mesh: Mesh,
  plans: readonly GroupPlan[],
  groups: readonly SelectorGroup[],
): AuthorizationChanges {
  const planOf = new Map(
    plans.flatMap((plan) => plan.group.workloads.map((workload) => [workload, plan] as const)),
  );
  const groupOf = new Map(
    groups.flatMap((group) => group.workloads.map((workload) => [workload, group] as const)),
  );
  const names = new Names(mesh);
  const changes: ResourceChange[] = [];
  const impossible = new Map<GroupPlan, string>();
  const takenOver = new Map<GroupPlan, Policy>();
  for (const [policy, workloads] of subjectsOf(mesh)) {
    const own = new Set(workloads.flatMap((workload) => planOf.get(workload) ?? []));
    if (own.size === 0) continue;
    const others = workloads.filter((workload) => !planOf.has(workload));
    const kept = new Set(others.map((workload) => groupOf.get(workload)));
    if (kept.has(undefined)) {
      for (const plan of own)
        impossible.set(
          plan,
          whyShared(
            policy,
            others.find((one) => !groupOf.has(one)),
          ),
        );
      continue;
    }
    const [only] = own;
    const before = only === undefined ? undefined : takenOver.get(only);
    if (
      only !== undefined &&
      own.size === 1 &&
      others.length === 0 &&
      isOfGroup(policy, workloads, only.group)
    ) {
      if (before === undefined) {
        takenOver.set(only, policy);
        continue;
      }
      if (isSameSelector(policy, before)) {
        const why = `its rules are in ${resourceName(before)}`;
        changes.push({ action: "delete", manifest: manifestOf(policy), why });
        continue;
      }
    }
    changes.push(emptied(policy));
    for (const group of kept) if (group !== undefined) changes.push(copyFor(policy, group, names));
  }
  const policyOf = new Map<GroupPlan, string>();
  for (const plan of plans) {
    const change = changeOf(plan, takenOver.get(plan), names);
    changes.push(change);
    const { kind, metadata } = change.manifest;
    policyOf.set(plan, resourceName({ kind, ...metadata }));
  }
  return { changes, policyOf, impossible };
}

/** Every ALLOW policy that is enforced, with the workloads that it holds for. */
function subjectsOf(mesh: Mesh): ReadonlyMap<Policy, readonly Workload[]> {
  const subjects = new Map<Policy, Workload[]>();
  for (const workload of mesh.workloads)
    for (const policy of attachedPolicies(mesh.authorizationPolicies, workload, mesh.config.rootNamespace)) {
      const own = policy as unknown as Policy;
      if ((own.spec?.action ?? "ALLOW") !== "ALLOW" || isDryRun(own)) continue;
      const known = subjects.get(own);
      if (known === undefined) subjects.set(own, [workload]);
      else known.push(workload);
    }
  return subjects;
}

function whyShared(policy: Policy, other: Workload | undefined): string {
  return `${resourceName(policy)} holds for ${other?.key ?? "another workload"} too, which no selector singles out to leave it as it is`;
}

/** Whether its selector selects the group and nothing else, so that the group's own policy can take its place. */
function isOfGroup(
  policy: Policy,
  subjects: readonly Workload[],
  { namespace, workloads }: SelectorGroup,
): boolean {
  const selector = selectorOf(policy);
  return (
    policy.namespace === namespace && Object.keys(selector).length > 0 && subjects.length === workloads.length
  );
}

function isSameSelector(a: Policy, b: Policy): boolean {
  const [own, other] = [selectorOf(a), Object.entries(selectorOf(b))];
  return other.length === Object.keys(own).length && other.every(([key, value]) => own[key] === value);
}

function selectorOf({ spec }: Policy): Labels {
  return spec?.selector?.matchLabels ?? {};
}

function changeOf({ group, grants }: GroupPlan, before: Policy | undefined, names: Names): ResourceChange {
  const [first] = group.workloads;
  const name = before?.name ?? names.free(group.namespace, `${first?.name ?? "workload"}-as-seen`);
  const why =
    before === undefined ? "what was seen, and nothing else" : "its rules, narrowed to what was seen";
  return {
    action: before === undefined ? "add" : "replace",
    manifest: policyManifest(
      name,
      group.namespace,
      why,
      {
        selector: { matchLabels: before === undefined ? group.selector : selectorOf(before) },
        ...(grants.length === 0 ? {} : { rules: grants.map(ruleOf) }),
      },
      before,
    ),
    why,
  };
}

function emptied(policy: Policy): ResourceChange {
  const { rules: _rules, action: _action, ...spec } = policy.spec ?? {};
  const why =
    "its rules are in policies of their own for each workload; without rules it keeps closed whatever it selects";
  return {
    action: "replace",
    manifest: policyManifest(policy.name, policy.namespace, why, spec, policy),
    why,
  };
}

function copyFor(policy: Policy, group: SelectorGroup, names: Names): ResourceChange {
  const [first] = group.workloads;
  const name = names.free(group.namespace, `${policy.name}-for-${first?.name ?? "workload"}`);
  const why = `the rules of ${resourceName(policy)}, as they are, for ${group.workloads.map(({ key }) => key).join(", ")}`;
  const rules = policy.spec?.rules ?? [];
  const own =
    policy.namespace === group.namespace ? rules : rules.map((rule) => qualified(rule, policy.namespace));
  return {
    action: "add",
    manifest: policyManifest(name, group.namespace, why, {
      selector: { matchLabels: group.selector },
      ...(own.length === 0 ? {} : { rules: own }),
    }),
    why,
  };
}

/** An account without a namespace is one of the policy's own. */
function qualified(rule: RuleSpec, namespace: string): RuleSpec {
  const full = (names: readonly string[] | undefined): readonly string[] | undefined =>
    names?.map((name) => (name.includes("/") ? name : `${namespace}/${name}`));
  const lists = (names: { readonly [name: string]: readonly string[] | undefined }): object =>
    Object.fromEntries(
      Object.entries(names).flatMap(([name, list]) => (list === undefined ? [] : [[name, full(list)]])),
    );
  return {
    ...rule,
    ...(rule.from === undefined
      ? {}
      : {
          from: rule.from.map(({ source = {} }) => {
            const { serviceAccounts, notServiceAccounts, ...others } = source;
            return { source: { ...others, ...lists({ serviceAccounts, notServiceAccounts }) } };
          }),
        }),
    ...(rule.when === undefined
      ? {}
      : {
          when: rule.when.map((when) =>
            when.key === "source.serviceAccount"
              ? { key: when.key, ...lists({ values: when.values, notValues: when.notValues }) }
              : when,
          ),
        }),
  };
}

function policyManifest(
  name: string,
  namespace: string,
  why: string,
  spec: object,
  before?: Policy,
): Manifest {
  const labels = before?.labels ?? {};
  return {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: {
      name,
      namespace,
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
      annotations: { ...withoutApplied(before?.annotations ?? {}), [TIGHTENED]: why },
    },
    spec,
  };
}

function manifestOf({ apiVersion, kind, name, namespace, spec }: Policy): Manifest {
  return { apiVersion, kind, metadata: { name, namespace }, spec };
}

/** What kubectl keeps of the last apply is the old rules. */
function withoutApplied(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { "kubectl.kubernetes.io/last-applied-configuration": _applied, ...others } = annotations;
  return others;
}

/** Names of policies that are not taken. */
class Names {
  readonly #taken: Set<string>;

  constructor({ authorizationPolicies }: Mesh) {
    this.#taken = new Set(authorizationPolicies.map(({ namespace, name }) => `${namespace}/${name}`));
  }

  free(namespace: string, wanted: string): string {
    const base = wanted.slice(0, 240).replace(/[^a-z0-9.-]/g, "-");
    for (let at = 1; ; at++) {
      const name = at === 1 ? base : `${base}-${at}`;
      if (this.#taken.has(`${namespace}/${name}`)) continue;
      this.#taken.add(`${namespace}/${name}`);
      return name;
    }
  }
}
