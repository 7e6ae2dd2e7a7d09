/** The ends of a connectivity map: groups of equal pods, named as `namespace/name[Kind]`. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { LabelMatcher } from "./label-matcher.ts";
import { type NetworkPod, networkPod } from "./network-pod.ts";
import { networkPolicies, podMatchers } from "./network-policies.ts";

export interface MapNode {
  /** `finance/payroll[Deployment]` */
  readonly label: string;
  readonly pod: NetworkPod;
  /** The workloads that it stands for: more than one where pods of one owner were read one by one. */
  readonly workloads: readonly Workload[];
}

export const INGRESS_CONTROLLER = "{ingress-controller}";

/**
 * The mesh's pods as a map shows them: by the workload that makes them; pods that have an owner that no file has by this owner. Pods of one
 * owner stay apart, by their own names, where their ports differ or a policy's selector tells them apart: they need not be reachable alike. No WorkloadEntries: no policy selects
 * what is no pod.
 */
export function mapNodes(mesh: Mesh): MapNode[] {
  const matchers = podMatchers(networkPolicies(mesh));
  const groups = new Map<string, Workload[]>();
  for (const workload of mesh.workloads) {
    if (workload.kind === "WorkloadEntry") continue;
    const label = labelOf(workload);
    const group = groups.get(label);
    if (group === undefined) groups.set(label, [workload]);
    else group.push(workload);
  }
  const nodes = [...groups].flatMap(([label, group]) => nodesOf(mesh, label, group, matchers));
  return nodes.sort((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
}

function nodesOf(
  mesh: Mesh,
  label: string,
  group: readonly Workload[],
  matchers: readonly LabelMatcher[],
): MapNode[] {
  const [first] = group;
  if (first === undefined) return [];
  if (group.every((other) => other === first || isAlike(first, other, matchers)))
    return [{ label, pod: { ...networkPod(mesh, first), name: label }, workloads: group }];
  return group.map((workload) => {
    const own = `${workload.namespace}/${workload.name}[${workload.kind}]`;
    return { label: own, pod: { ...networkPod(mesh, workload), name: own }, workloads: [workload] };
  });
}

function isAlike(a: Workload, b: Workload, matchers: readonly LabelMatcher[]): boolean {
  if (JSON.stringify([a.ports, a.hostNetwork]) !== JSON.stringify([b.ports, b.hostNetwork])) return false;
  return matchers.every((matcher) => matcher.matches(a.labels) === matcher.matches(b.labels));
}

function labelOf({ namespace, name, kind, resource }: Workload): string {
  const owner = kind === "Pod" ? controllerOf(resource.body.metadata) : undefined;
  return owner === undefined ? `${namespace}/${name}[${kind}]` : `${namespace}/${owner.name}[${owner.kind}]`;
}

/** A static pod's node is no owner that a person would look for. */
function controllerOf(metadata: unknown): { readonly kind: string; readonly name: string } | undefined {
  const references = (metadata as { readonly ownerReferences?: unknown } | undefined)?.ownerReferences;
  if (!Array.isArray(references)) return undefined;
  const owner: unknown = references.find(
    (reference: unknown) => (reference as { readonly controller?: unknown }).controller === true,
  );
  if (owner === undefined) return undefined;
  const { kind = "Pod", name } = owner as { readonly kind?: unknown; readonly name: unknown };
  return kind === "Node" ? undefined : { kind: String(kind), name: String(name) };
}
