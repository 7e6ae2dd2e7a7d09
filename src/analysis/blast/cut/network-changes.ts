/** Network policies that let in the pods of those callers alone whom the mesh's policies name: a stolen key is worth nothing elsewhere then. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import { compileLabelSelector } from "../../../policy/network/label-matcher.ts";
import { apiGroup } from "../../../resources/scope.ts";
import { bitsIn, hasBit } from "../bits.ts";
import { type HoldingId, principalOf } from "../component.ts";
import type { BlastModel } from "../radius.ts";
import type { Change } from "./change.ts";
import { freeName, selectorOf } from "./new-resource.ts";

const HBONE_PORT = 15_008;
/** Longer lists are nothing that a person would keep up. */
const CALLERS_AT_MOST = 10;

/** One for each workload that the component reaches at once by a key that is not of the pod which it sends from. */
export function networkChanges(model: BlastModel, component: HoldingId): readonly Change[] {
  const { reached } = model.radiusOf(component);
  const { free, keys } = model.holdings.of(component);
  const own = new Set(
    free.flatMap((at) => {
      const workload = model.mesh.workloads[at];
      return workload === undefined ? [] : [principalOf(workload)];
    }),
  );
  if (keys.every((key) => own.has(key))) return [];
  return [...bitsIn(reached)].flatMap((at) => isolating(model, at) ?? []);
}

/** Undefined where anybody may come, or one who comes is no pod. */
function isolating(model: BlastModel, at: number): Change | undefined {
  const target = model.mesh.workloads[at];
  const entries = model.entries.byTarget.get(at) ?? [];
  if (target === undefined || target.kind === "WorkloadEntry" || target.role !== "application")
    return undefined;
  // Network policies add up: one more would let in, and not keep out.
  if (isIsolated(model.mesh, target)) return undefined;
  if (
    entries.some((entry) => hasBit(model.entries.everybody, entry) || hasBit(model.entries.anonymous, entry))
  )
    return undefined;
  const callers = model.mesh.workloads.filter((caller) =>
    entries.some((entry) => model.entries.lets(entry, principalOf(caller))),
  );
  const waypoints = entries.flatMap(
    (entry) => model.mesh.workloads[model.entries.all[entry]?.end ?? -1] ?? [],
  );
  const senders = [...new Set([...callers, ...waypoints])];
  if (senders.every((sender) => sender === target) || senders.length > CALLERS_AT_MOST) return undefined;
  if (senders.some(({ kind }) => kind === "WorkloadEntry")) return undefined;
  return policyFor(model, target, entries, senders);
}

function isIsolated({ resources }: Mesh, { namespace, labels }: Workload): boolean {
  return resources.some((resource) => {
    if (resource.kind !== "NetworkPolicy" || resource.namespace !== namespace) return false;
    if (apiGroup(resource.apiVersion) !== "networking.k8s.io") return false;
    const { podSelector, policyTypes = ["Ingress"] } = (resource.spec ?? {}) as {
      readonly podSelector?: unknown;
      readonly policyTypes?: readonly string[];
    };
    return policyTypes.includes("Ingress") && compileLabelSelector(podSelector).matches(labels);
  });
}

function policyFor(
  model: BlastModel,
  target: Workload,
  entries: readonly number[],
  senders: readonly Workload[],
): Change | undefined {
  const { namespace, name } = target;
  const own = selectorOf(model.mesh, target, false);
  const froms = senders.map((sender) => ({
    namespace: sender.namespace,
    labels: selectorOf(model.mesh, sender, false),
  }));
  if (own === undefined || froms.some(({ labels }) => labels === undefined)) return undefined;
  const kinds = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" };
  const ports = entries.flatMap((entry) => model.entries.all[entry]?.port ?? []);
  const wanted = [...new Set([...ports, HBONE_PORT])];
  return {
    id: `network ${namespace}/${name}`,
    weight: 3,
    title: `NetworkPolicy for ${namespace}/${name}: from the pods of those whom its policies name`,
    takes: `${namespace}/${name} loses every other sender (scrapers, pods that no file shows) and every port besides ${wanted.join(", ")}`,
    document: {
      ...kinds,
      metadata: { name: freeName(model.mesh, { ...kinds, namespace, name: `${name}-callers` }), namespace },
      spec: {
        podSelector: { matchLabels: own },
        policyTypes: ["Ingress"],
        ingress: [
          {
            from: froms.map((sender) => ({
              namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": sender.namespace } },
              podSelector: { matchLabels: sender.labels },
            })),
            ports: wanted.map((port) => ({ port, protocol: "TCP" })),
          },
        ],
      },
    },
  };
}
