import { isIPv4 } from "node:net";
import type { Service } from "../../model/mesh.ts";
import { wildcardService } from "../../policy/ambient/ambient-route.ts";
import { CAPTURED_DNS_PORT } from "../capture/captured-ports.ts";
import { DnsServer, type LookUp } from "../dns/dns-server.ts";
import { forwardQuery } from "../dns/forward-query.ts";
import { serviceNames } from "../dns/service-names.ts";
import type { PodSockets, ZtunnelPod } from "./ztunnel-pod.ts";
import type { ZtunnelSnapshot } from "./ztunnel-snapshot.ts";

const LOOPBACKS: readonly string[] = ["127.0.0.1", "::1"];

const NAMES = new WeakMap<ZtunnelSnapshot, LookUp>();

/** All pods are answered alike: made once for each configuration. */
function namesOf(snapshot: ZtunnelSnapshot): LookUp {
  const known = NAMES.get(snapshot);
  if (known !== undefined) return known;
  const { mesh, placement } = snapshot;
  const exact = serviceNames(mesh, placement, { serviceEntries: true });
  // Who dialled the host's own address would pass the wildcard's waypoint by: where nobody has given the wildcard one, the name has none.
  const names: LookUp = (name) => exact(name) ?? addressesUnder(wildcardService(mesh, name));
  NAMES.set(snapshot, names);
  return names;
}

function addressesUnder(wildcard: Service | undefined): readonly string[] | undefined {
  return wildcard?.addresses.filter((address) => !address.includes("/"));
}

/**
 * All DNS of one pod, in its own network: services and ServiceEntries' hosts by the addresses that the ztunnel knows them by, the rest from the cluster's DNS, which
 * is asked from the pod's network too.
 */
export class ZtunnelDns {
  readonly #server: DnsServer;
  #isListening = false;

  constructor(
    pod: ZtunnelPod,
    sockets: PodSockets,
    upstream: string,
    snapshot: () => ZtunnelSnapshot | undefined,
  ) {
    const udp = (host: string, port: number) => sockets.listenUdp?.(pod, host, port) ?? -1;
    const anyUdp = () => udp(isIPv4(upstream) ? "0.0.0.0" : "::", 0);
    this.#server = new DnsServer({
      addresses: pod.address6 === undefined ? LOOPBACKS.slice(0, 1) : LOOPBACKS,
      port: CAPTURED_DNS_PORT,
      open: { udp, tcp: (host, port) => sockets.listen(pod, host, port) },
      lookUp: (name) => {
        const current = snapshot();
        return current === undefined ? undefined : namesOf(current)(name);
      },
      forward: async (query) => forwardQuery(upstream, query, anyUdp),
    });
  }

  /** @throws {BulwarkError} BW_LISTEN_FAILED */
  async listen(): Promise<void> {
    if (this.#isListening) return;
    await this.#server.listen();
    this.#isListening = true;
  }

  close(): void {
    this.#server.close();
    this.#isListening = false;
  }
}
