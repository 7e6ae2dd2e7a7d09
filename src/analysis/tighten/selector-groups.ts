/** Workloads that a selector of their labels can single out: of a policy for one of them others must not be the subjects. */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";

/** Workloads of one namespace that one selector selects, and no others. */
export interface SelectorGroup {
  readonly namespace: string;
  readonly selector: Labels;
  readonly workloads: readonly Workload[];
}

export interface SelectorGroups {
  readonly groups: readonly SelectorGroup[];
  /** Workloads that no selector singles out. */
  readonly unselectable: readonly Workload[];
}

export function selectorGroups({ workloads }: Mesh): SelectorGroups {
  const byNamespace = new Map<string, Workload[]>();
  for (const workload of workloads) {
    const own = byNamespace.get(workload.namespace);
    if (own === undefined) byNamespace.set(workload.namespace, [workload]);
    else own.push(workload);
  }
  const groups: SelectorGroup[] = [];
  const unselectable: Workload[] = [];
  for (const [namespace, own] of byNamespace) {
    for (const joined of joinedBy(own)) {
      const selector = selectorFor(joined, own);
      if (selector === undefined) unselectable.push(...joined);
      else groups.push({ namespace, selector, workloads: joined });
    }
  }
  return { groups, unselectable };
}

/** Those together that the labels of one of them cannot be told from. */
function joinedBy(own: readonly Workload[]): readonly (readonly Workload[])[] {
  const groupOf = new Map<Workload, Workload[]>();
  for (const workload of own) {
    const selected =
      shortest(workload, own) === undefined ? selectedBy(stableLabels(workload), own) : [workload];
    const joined = [...new Set([workload, ...selected].flatMap((one) => groupOf.get(one) ?? [one]))];
    for (const one of joined) groupOf.set(one, joined);
  }
  return [...new Set(groupOf.values())];
}

/** Labels that people know workloads by, before all of them. */
function selectorFor(group: readonly Workload[], own: readonly Workload[]): Labels | undefined {
  const [first] = group;
  if (first === undefined) return undefined;
  if (group.length === 1) return shortest(first, own);
  const common = Object.fromEntries(
    Object.entries(stableLabels(first)).filter(([key, value]) =>
      group.every(({ labels }) => labels[key] === value),
    ),
  );
  const isExact = Object.keys(common).length > 0 && selectedBy(common, own).length === group.length;
  return isExact ? common : undefined;
}

const USUAL_NAMES: readonly string[] = [
  "app",
  "app.kubernetes.io/name",
  "k8s-app",
  "name",
  "app.kubernetes.io/instance",
];

function shortest(workload: Workload, own: readonly Workload[]): Labels | undefined {
  const labels = stableLabels(workload);
  const single = USUAL_NAMES.flatMap((key): Labels[] => {
    const value = labels[key];
    return value === undefined ? [] : [{ [key]: value }];
  });
  return [...single, labels].find(
    (selector) => Object.keys(selector).length > 0 && selectedBy(selector, own).length === 1,
  );
}

function selectedBy(selector: Labels, own: readonly Workload[]): readonly Workload[] {
  return own.filter(({ labels }) => matchesLabels(selector, labels));
}

/** Set anew with each revision or pod: nobody can write a policy by them. */
const VOLATILE: ReadonlySet<string> = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "pod-template-generation",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "batch.kubernetes.io/controller-uid",
  "batch.kubernetes.io/job-name",
  "controller-uid",
  "job-name",
  "security.istio.io/tlsMode",
  "service.istio.io/canonical-revision",
]);

export function stableLabels({ labels }: Workload): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !VOLATILE.has(key)));
}
