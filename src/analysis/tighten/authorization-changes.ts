/**
 * AuthorizationPolicies that take the place of today's: rules add up, so that another policy alone would take nothing away. Policies that
 * select more than one workload stay with their selector and without their rules: whatever they selected, and will select, stays closed.
 */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { GATEWAY_API_GROUP } from "../../policy/gateway-api/shapes.ts";
import { attachedPolicies } from "../../policy/policy-attachment.ts";
import { asWaypoint } from "../../policy/waypoint/waypoints.ts";
import { resourceName } from "../../resources/resource.ts";
import { type Grant, ruleOf } from "./grants.ts";
import type { ResourceChange } from "./manifest.ts";
import type { PodsUnread } from "./pods-unread.ts";
import {
  isEnforcedAllow,
  manifestOf,
  type Policy,
  PolicyNames,
  policyManifest,
  qualified,
  type TargetRef,
  targetRefsOf,
} from "./policy-manifest.ts";
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

/** @param groups all of the mesh. */
export function authorizationChanges(
  mesh: Mesh,
  plans: readonly GroupPlan[],
  groups: readonly SelectorGroup[],
  unread: PodsUnread,
): AuthorizationChanges {
  const planOf = new Map(
    plans.flatMap((plan) => plan.group.workloads.map((workload) => [workload, plan] as const)),
  );
  const groupOf = new Map(
    groups.flatMap((group) => group.workloads.map((workload) => [workload, group] as const)),
  );
  const names = new PolicyNames(mesh);
  const changes: ResourceChange[] = [];
  const impossible = new Map<GroupPlan, string>();
  const takenOver = new Map<GroupPlan, Policy>();
  for (const plan of plans) {
    const other = unread.selectedBy(plan.group.namespace, plan.group.selector);
    if (other !== undefined) impossible.set(plan, `its labels are those of ${other}, too: ${NOT_READ}`);
  }
  for (const [policy, workloads] of subjectsOf(mesh)) {
    const own = new Set(workloads.flatMap((workload) => planOf.get(workload) ?? []));
    if (own.size === 0) continue;
    const others = workloads.filter((workload) => !planOf.has(workload));
    const more = whyMore(mesh, policy, workloads) ?? whyUnread(policy, unread, own.size + others.length > 1);
    if (more !== undefined) {
      for (const plan of own) impossible.set(plan, more);
      continue;
    }
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
    for (const group of kept) if (group !== undefined) changes.push(copyFor(mesh, policy, group, names));
  }
  const policyOf = new Map<GroupPlan, string>();
  for (const plan of plans) {
    const change = changeOf(mesh, plan, takenOver.get(plan), names);
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
      if (!isEnforcedAllow(own)) continue;
      const known = subjects.get(own);
      if (known === undefined) subjects.set(own, [workload]);
      else known.push(workload);
    }
  return subjects;
}

function whyShared(policy: Policy, other: Workload | undefined): string {
  return `${resourceName(policy)} holds for ${other?.key ?? "another workload"} too, which no selector singles out to leave it as it is`;
}

const NOT_READ = "no file shows its pods, and what they need nobody could ask for";

function whyUnread(policy: Policy, unread: PodsUnread, isShared: boolean): string | undefined {
  const other = unread.heldBy(policy, isShared);
  return other === undefined ? undefined : `${resourceName(policy)} holds for ${other} too: ${NOT_READ}`;
}

/** What has no pods of its own (services behind waypoints) would be closed by taking the rules away. */
function whyMore(mesh: Mesh, policy: Policy, workloads: readonly Workload[]): string | undefined {
  const isOther =
    targetRefsOf(policy).some(({ kind }) => kind !== "Gateway") ||
    workloads.some((own) => asWaypoint(mesh, own) !== undefined);
  return isOther ? `${resourceName(policy)} is for services or waypoints, too` : undefined;
}

/** Whether it is for the group and nothing else, so that the group's own policy can take its place. */
function isOfGroup(
  policy: Policy,
  subjects: readonly Workload[],
  { namespace, workloads }: SelectorGroup,
): boolean {
  const [ref, ...others] = targetRefsOf(policy);
  const isOne = ref === undefined ? Object.keys(selectorOf(policy)).length > 0 : others.length === 0;
  return policy.namespace === namespace && isOne && subjects.length === workloads.length;
}

function isSameSelector(a: Policy, b: Policy): boolean {
  const [refs, otherRefs] = [a, b].map((policy) => targetRefsOf(policy).map(({ name }) => name));
  if (refs?.length !== 0 || otherRefs?.length !== 0) return refs?.join() === otherRefs?.join();
  const [own, other] = [selectorOf(a), Object.entries(selectorOf(b))];
  return other.length === Object.keys(own).length && other.every(([key, value]) => own[key] === value);
}

function selectorOf({ spec }: Policy): Labels {
  return spec?.selector?.matchLabels ?? {};
}

type Subject = { readonly selector: object } | { readonly targetRefs: readonly TargetRef[] };

/** Gateways of the Gateway API are named, where the name is of no other pods; all else is selected. */
function subjectOfGroup(mesh: Mesh, { namespace, workloads, selector }: SelectorGroup): Subject {
  const name = workloads[0]?.labels[GATEWAY_NAME];
  const named = mesh.workloads.filter(
    (own) => name !== undefined && own.namespace === namespace && own.labels[GATEWAY_NAME] === name,
  );
  const isExact = named.length === workloads.length && named.every((own) => workloads.includes(own));
  return name !== undefined && isExact
    ? { targetRefs: [{ group: GATEWAY_API_GROUP, kind: "Gateway", name }] }
    : { selector: { matchLabels: selector } };
}

const GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name";

function subjectOfPolicy(policy: Policy): Subject {
  const targetRefs = targetRefsOf(policy);
  return targetRefs.length > 0 ? { targetRefs } : { selector: { matchLabels: selectorOf(policy) } };
}

function changeOf(
  mesh: Mesh,
  { group, grants }: GroupPlan,
  before: Policy | undefined,
  names: PolicyNames,
): ResourceChange {
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
        ...(before === undefined ? subjectOfGroup(mesh, group) : subjectOfPolicy(before)),
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

function copyFor(mesh: Mesh, policy: Policy, group: SelectorGroup, names: PolicyNames): ResourceChange {
  const [first] = group.workloads;
  const name = names.free(group.namespace, `${policy.name}-for-${first?.name ?? "workload"}`);
  const why = `the rules of ${resourceName(policy)}, as they are, for ${group.workloads.map(({ key }) => key).join(", ")}`;
  const rules = policy.spec?.rules ?? [];
  const own =
    policy.namespace === group.namespace ? rules : rules.map((rule) => qualified(rule, policy.namespace));
  return {
    action: "add",
    manifest: policyManifest(name, group.namespace, why, {
      ...subjectOfGroup(mesh, group),
      ...(own.length === 0 ? {} : { rules: own }),
    }),
    why,
  };
}
