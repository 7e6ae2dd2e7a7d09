/** What network policies see of a pod. */
import type { ContainerPort, Labels, Mesh, Workload } from "../../model/mesh.ts";
import { type AddressFamily, addressRange } from "./address-range.ts";
import type { ConnectionAlgebra, ConnectionSet } from "./connection-set.ts";
import type { LabelMatcher } from "./label-matcher.ts";
import type { NamespaceScope, NetworkPort } from "./network-policies.ts";
import { portRange } from "./port-set.ts";

export interface NetworkPod {
  /** For people. */
  readonly name: string;
  readonly namespace: string;
  readonly namespaceLabels: Labels;
  readonly labels: Labels;
  readonly ports: readonly ContainerPort[];
  /** Those that are known. */
  readonly addresses: readonly string[];
  readonly hostNetwork: boolean;
}

export function networkPod(mesh: Mesh, workload: Workload): NetworkPod {
  const { key, namespace, labels, ports, addresses, hostNetwork } = workload;
  const namespaceLabels = mesh.namespaces.get(namespace)?.labels ?? {};
  const usable = ports.filter(({ port }) => Number.isInteger(port) && port >= 1 && port <= 65_535);
  return { name: key, namespace, namespaceLabels, labels, ports: usable, addresses, hostNetwork };
}

/** Its first address, or its first of a family; undefined where none is known. */
export function addressIn(
  { addresses }: Pick<NetworkPod, "addresses">,
  family: AddressFamily | undefined,
): string | undefined {
  if (family === undefined) return addresses[0];
  return addresses.find((address) => addressRange(address)?.family === family);
}

export function isInScope(
  scope: NamespaceScope,
  { namespace, namespaceLabels }: Pick<NetworkPod, "namespace" | "namespaceLabels">,
): boolean {
  return "name" in scope ? scope.name === namespace : scope.labels.matches(namespaceLabels);
}

export function selects(
  { namespaces, pods }: { readonly namespaces: NamespaceScope; readonly pods: LabelMatcher },
  pod: NetworkPod,
): boolean {
  return isInScope(namespaces, pod) && pods.matches(pod.labels);
}

/** What a rule's ports come to at a pod that is connected to; without one, names stand for nothing. */
export function connectionsOf(
  algebra: ConnectionAlgebra,
  ports: readonly NetworkPort[] | null,
  target: Pick<NetworkPod, "ports"> | undefined,
): ConnectionSet {
  if (ports === null) return algebra.all;
  let set = algebra.none;
  for (const port of ports) {
    if ("first" in port)
      set = algebra.union(set, algebra.of({ [port.protocol]: portRange(port.first, port.last) }));
    else
      for (const own of namedPorts(target, port.name, port.protocol))
        set = algebra.union(set, algebra.of({ [own.protocol]: portRange(own.port, own.port) }));
  }
  return set;
}

function namedPorts(
  target: Pick<NetworkPod, "ports"> | undefined,
  name: string,
  protocol: NetworkPort["protocol"],
): readonly ContainerPort[] {
  return (target?.ports ?? []).filter(
    (own) => own.name === name && (protocol === undefined || own.protocol === protocol),
  );
}
