/** The sets that compiled network policies name: which pods, named ports and blocks of addresses rules mean, in nftables' words. */
import { type AddressFamily, type AddressRange, addressRange, formatAddress } from "./address-range.ts";
import { type NetworkPod, selects } from "./network-pod.ts";
import type {
  NetworkDirection,
  NetworkPeer,
  NetworkPolicies,
  NetworkPolicy,
  NetworkPort,
} from "./network-policies.ts";

export const FAMILIES: readonly AddressFamily[] = [4, 6];

/** Each is made for both families, under its name and the family. */
export class NftablesSets {
  readonly #pods = new Map<string, { readonly name: string; readonly has: (pod: NetworkPod) => boolean }>();
  readonly #ports = new Map<
    string,
    { readonly name: string; readonly port: Extract<NetworkPort, { name: string }> }
  >();
  readonly #blocks = new Map<string, { readonly name: string; readonly ranges: readonly AddressRange[] }>();

  constructor({ admin, policies, baseline }: NetworkPolicies) {
    for (const direction of ["ingress", "egress"] as const) {
      this.isolated(policies, direction);
      for (const policy of [...admin, ...policies, ...baseline]) {
        this.subject(policy);
        for (const { peers, ports } of policy[direction] ?? []) {
          for (const peer of peers ?? []) this.peer(peer);
          for (const port of ports ?? []) if ("name" in port) this.port(port);
        }
      }
    }
  }

  subject({ subject }: NetworkPolicy): string {
    return this.#podSet(scopeKey(subject), (pod) => selects(subject, pod));
  }

  isolated(policies: readonly NetworkPolicy[], direction: NetworkDirection): string {
    const own = policies.filter((policy) => policy[direction] !== null);
    return this.#podSet(`isolated ${direction}`, (pod) => own.some(({ subject }) => selects(subject, pod)));
  }

  /** Undefined: the peer is nobody that an address tells. */
  peer(peer: NetworkPeer): string | undefined {
    if (peer.kind === "pods") return this.#podSet(scopeKey(peer), (pod) => selects(peer, pod));
    if (peer.kind === "nodes") return undefined;
    let own = this.#blocks.get(peer.text);
    if (own === undefined) {
      own = { name: `block${this.#blocks.size}`, ranges: peer.ranges };
      this.#blocks.set(peer.text, own);
    }
    return own.name;
  }

  port(port: Extract<NetworkPort, { name: string }>): string {
    const key = `${port.name} ${port.protocol ?? ""}`;
    let own = this.#ports.get(key);
    if (own === undefined) {
      own = { name: `port${this.#ports.size}`, port };
      this.#ports.set(key, own);
    }
    return own.name;
  }

  declarations(): readonly string[] {
    return FAMILIES.flatMap((family) => [
      ...[...this.#pods.values()].map(({ name }) => `  set ${name}_${family} { type ipv${family}_addr; }`),
      ...[...this.#ports.values()].map(
        ({ name }) => `  set ${name}_${family} { type ipv${family}_addr . inet_proto . inet_service; }`,
      ),
      ...[...this.#blocks.values()].map(({ name, ranges }) => blockSet(name, family, ranges)),
    ]);
  }

  elements(table: string, pods: readonly NetworkPod[], flush: boolean): readonly string[] {
    // What is on the host's network has the node's address: that would mean all of the node.
    const own = pods.filter(({ hostNetwork }) => !hostNetwork);
    return FAMILIES.flatMap((family) => [
      ...[...this.#pods.values()].flatMap(({ name, has }) =>
        fill(
          table,
          `${name}_${family}`,
          own.filter(has).flatMap((pod) => addressesOf(pod, family)),
          flush,
        ),
      ),
      ...[...this.#ports.values()].flatMap(({ name, port }) =>
        fill(
          table,
          `${name}_${family}`,
          own.flatMap((pod) => portElements(pod, port, family)),
          flush,
        ),
      ),
    ]);
  }

  #podSet(key: string, has: (pod: NetworkPod) => boolean): string {
    let own = this.#pods.get(key);
    if (own === undefined) {
      own = { name: `pods${this.#pods.size}`, has };
      this.#pods.set(key, own);
    }
    return own.name;
  }
}

function scopeKey({ namespaces, pods }: NetworkPolicy["subject"]): string {
  return `${"name" in namespaces ? `=${namespaces.name}` : `~${namespaces.labels.text}`}|${pods.text}`;
}

function blockSet(name: string, family: AddressFamily, ranges: readonly AddressRange[]): string {
  const own = ranges.filter((range) => range.family === family);
  const elements = own.map(({ first, last }) =>
    first === last
      ? formatAddress(family, first)
      : `${formatAddress(family, first)}-${formatAddress(family, last)}`,
  );
  const filled = elements.length === 0 ? "" : ` elements = { ${elements.join(", ")} }`;
  return `  set ${name}_${family} { type ipv${family}_addr; flags interval;${filled} }`;
}

function addressesOf({ addresses }: NetworkPod, family: AddressFamily): readonly string[] {
  return addresses.filter((address) => addressRange(address)?.family === family);
}

function portElements(
  pod: NetworkPod,
  { name, protocol }: Extract<NetworkPort, { name: string }>,
  family: AddressFamily,
): readonly string[] {
  const ports = pod.ports.filter(
    (own) => own.name === name && (protocol === undefined || own.protocol === protocol),
  );
  return addressesOf(pod, family).flatMap((address) =>
    ports.map((own) => `${address} . ${own.protocol.toLowerCase()} . ${own.port}`),
  );
}

function fill(table: string, set: string, elements: readonly string[], flush: boolean): readonly string[] {
  const wanted = [...new Set(elements)];
  return [
    ...(flush ? [`flush set ${table} ${set}`] : []),
    ...(wanted.length === 0 ? [] : [`add element ${table} ${set} { ${wanted.join(", ")} }`]),
  ];
}
