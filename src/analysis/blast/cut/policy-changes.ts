/** Changes of the mesh's policies, that let an identity, or those without one, in no more. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import type { AuthorizationSpec, RuleSpec } from "../../../policy/authorization-spec.ts";
import { attachedPolicies, waypointPolicies } from "../../../policy/policy-attachment.ts";
import { byAge, type Resource } from "../../../resources/resource.ts";
import type { EntryPoint } from "../entry-points.ts";
import type { BlastModel } from "../radius.ts";
import { type Change, documentWith, type Json } from "./change.ts";
import { freeName, selectorOf } from "./new-resource.ts";

/**
 * Against one identity at one entry point. Where a policy names it, it is taken out there; else a DENY is added. Gateways' and waypoints' own ports have none:
 * what is behind them counts.
 */
export function changeAgainstIdentity(
  model: BlastModel,
  entry: EntryPoint,
  principal: string,
): Change | undefined {
  const { mesh, graph } = model;
  const target = mesh.workloads[entry.target];
  if (target === undefined || graph.parts.get(target) !== "application" || target.dataplane === "none")
    return undefined;
  const naming = policiesAt(model, entry, target).filter((policy) => names(policy, principal));
  const [first] = naming;
  if (first !== undefined && naming.length === 1) return withoutPrincipal(first, principal);
  return entry.way === "waypoint" ? undefined : denying(mesh, target, principal);
}

function policiesAt({ mesh }: BlastModel, entry: EntryPoint, target: Workload): readonly Resource[] {
  const { rootNamespace } = mesh.config;
  if (entry.way !== "waypoint") return attachedPolicies(mesh.authorizationPolicies, target, rootNamespace);
  const proxy = mesh.workloads[entry.end];
  const service = mesh.services.find(({ hostname }) => hostname === entry.service?.host);
  if (proxy === undefined || service === undefined) return [];
  return waypointPolicies(mesh.authorizationPolicies, proxy, service, rootNamespace);
}

function specOf({ spec }: Resource): AuthorizationSpec {
  return (spec ?? {}) as AuthorizationSpec;
}

function names(policy: Resource, principal: string): boolean {
  const { action = "ALLOW", rules = [] } = specOf(policy);
  return (
    action === "ALLOW" &&
    rules.some((rule) => (rule.from ?? []).some(({ source }) => source?.principals?.includes(principal)))
  );
}

function withoutPrincipal(policy: Resource, principal: string): Change {
  const rules = (specOf(policy).rules ?? []).flatMap((rule) => ruleWithout(rule, principal));
  const name = `AuthorizationPolicy ${policy.namespace}/${policy.name}`;
  return {
    id: `${name} without ${principal}`,
    weight: 4,
    title: `${name}: no longer for ${principal}`,
    takes: `what this policy's rules let ${principal} do, at every workload that it holds for`,
    // Without rules it lets nobody in: to leave the policy out would let in everybody.
    document: documentWith(policy, ["spec", "rules"], rules.length === 0 ? undefined : rules),
  };
}

/** A list that would become empty would mean everybody: its source goes with it, and with the last source its rule. */
function ruleWithout(rule: RuleSpec, principal: string): readonly RuleSpec[] {
  const { from } = rule;
  if (from === undefined) return [rule];
  const left = from.flatMap((one) => {
    const { principals } = one.source ?? {};
    if (principals === undefined || !principals.includes(principal)) return [one];
    const others = principals.filter((own) => own !== principal);
    return others.length === 0 ? [] : [{ ...one, source: { ...one.source, principals: others } }];
  });
  return left.length === 0 ? [] : [{ ...rule, from: left }];
}

function denying(mesh: Mesh, target: Workload, principal: string): Change | undefined {
  const { namespace, name } = target;
  const matchLabels = selectorOf(mesh, target, true);
  if (matchLabels === undefined) return undefined;
  const [, caller = "nobody"] = principal.split("/ns/");
  const kinds = { apiVersion: "security.istio.io/v1", kind: "AuthorizationPolicy" };
  const wanted = `${name}-not-${caller.replace("/sa/", "-")}`;
  return {
    id: `deny ${principal} at ${namespace}/${name}`,
    weight: 4,
    title: `AuthorizationPolicy for ${namespace}/${name}: never ${principal}`,
    takes: `every call of ${principal} to ${namespace}/${name}: its flow log has them`,
    document: {
      ...kinds,
      metadata: { name: freeName(mesh, { ...kinds, namespace, name: wanted }), namespace },
      spec: {
        selector: { matchLabels },
        action: "DENY",
        rules: [{ from: [{ source: { principals: [principal] } }] }],
      },
    },
  };
}

/** Mutual TLS for the whole namespace; undefined where a policy of one workload, or port, would have to change. */
export function changeAgainstAnonymous(model: BlastModel, entry: EntryPoint): Change | undefined {
  const { mesh, graph } = model;
  const target = mesh.workloads[entry.target];
  if (target === undefined || graph.parts.get(target) !== "application" || target.dataplane === "none")
    return undefined;
  const { namespace } = target;
  const kinds = { apiVersion: "security.istio.io/v1", kind: "PeerAuthentication" };
  // Of several for the whole namespace the oldest counts.
  const [whole] = mesh.peerAuthentications
    .filter((policy) => policy.namespace === namespace && isForAll(policy))
    .toSorted(byAge);
  return {
    id: `strict ${namespace}`,
    weight: 3,
    title: `PeerAuthentication for namespace ${namespace}: STRICT`,
    takes: `calls in clear to ${namespace}: of pods without a proxy, of what scrapes or probes from outside the mesh`,
    document:
      whole === undefined
        ? {
            ...kinds,
            metadata: { name: freeName(mesh, { ...kinds, namespace, name: "default" }), namespace },
            spec: { mtls: { mode: "STRICT" } },
          }
        : documentWith(whole, ["spec", "mtls"], { mode: "STRICT" }),
  };
}

function isForAll({ spec }: Mesh["peerAuthentications"][number]): boolean {
  const { matchLabels = {} } =
    (spec as { readonly selector?: { readonly matchLabels?: Json } }).selector ?? {};
  return Object.keys(matchLabels).length === 0;
}
