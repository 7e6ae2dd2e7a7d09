/** Network policies that let in the pods of those callers alone whom the mesh's policies name: a stolen key is worth nothing elsewhere then. */
import type { Workload } from "../../../model/mesh.ts";
import { bitsIn, hasBit } from "../bits.ts";
import { type HoldingId, principalOf } from "../component.ts";
import type { BlastModel } from "../radius.ts";
import type { Change } from "./change.ts";
import { selectorLabels } from "./policy-changes.ts";

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
  const senders = [...new Set([...callers, ...waypoints])].filter((sender) => sender !== target);
  if (senders.length === 0 || senders.length > CALLERS_AT_MOST) return undefined;
  if (senders.some(({ kind }) => kind === "WorkloadEntry")) return undefined;
  return policyFor(model, target, entries, senders);
}

function policyFor(
  model: BlastModel,
  target: Workload,
  entries: readonly number[],
  senders: readonly Workload[],
): Change {
  const { namespace, name, labels } = target;
  const ports = entries.flatMap((entry) => model.entries.all[entry]?.port ?? []);
  return {
    id: `network ${namespace}/${name}`,
    weight: 3,
    title: `NetworkPolicy for ${namespace}/${name}: from the pods of those whom its policies name`,
    document: {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: `${name}-callers`.slice(0, 63), namespace },
      spec: {
        podSelector: { matchLabels: selectorLabels(labels) },
        policyTypes: ["Ingress"],
        ingress: [
          {
            from: senders.map((sender) => ({
              namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": sender.namespace } },
              podSelector: { matchLabels: selectorLabels(sender.labels) },
            })),
            ports: [...new Set([...ports, HBONE_PORT])].map((port) => ({ port, protocol: "TCP" })),
          },
        ],
      },
    },
  };
}
