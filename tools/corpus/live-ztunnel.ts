/** Our own ztunnel in front of one pod of a recorded case, on the pod's own addresses. */
import { Ztunnel } from "../../src/dataplane/ztunnel/ztunnel.ts";
import type { ZtunnelPod } from "../../src/dataplane/ztunnel/ztunnel-pod.ts";
import type { SvidSource } from "../../src/identity/rotation.ts";
import type { FlowDraft } from "../../src/model/flow-record.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import type { Placement } from "../../src/model/placement.ts";
import type { Semantics } from "../../src/policy/inbound.ts";
import { authorityOf } from "./live-proxy.ts";
import { capture, markedSockets } from "./marked-sockets.ts";

/** Pods of the recorded cases have IPv4 alone, some of their clients IPv6: it is by this address that they are dialled. */
const IPV6_OF_POD = "fd20::1";

export class LiveZtunnel {
  readonly flows: FlowDraft[];
  readonly address: string;
  readonly address6 = IPV6_OF_POD;
  readonly #ztunnel: Ztunnel;
  readonly #identity: SvidSource;

  private constructor(address: string, flows: FlowDraft[], ztunnel: Ztunnel, identity: SvidSource) {
    this.address = address;
    this.flows = flows;
    this.#ztunnel = ztunnel;
    this.#identity = identity;
  }

  static async start(mesh: Mesh, workload: Workload, semantics: Semantics): Promise<LiveZtunnel> {
    const authority = await authorityOf(mesh.config.trustDomain);
    const [address] = workload.addresses;
    if (address === undefined) throw new Error(`${workload.key} has no address`);
    const pod: ZtunnelPod = {
      name: `${workload.name}-0`,
      namespace: workload.namespace,
      workload: workload.key,
      replica: 0,
      address,
      address6: IPV6_OF_POD,
      uid: workload.key,
      spiffeId: workload.spiffeId,
      netns: "",
    };
    const identity = await authority.identity(workload.spiffeId);
    const flows: FlowDraft[] = [];
    const ztunnel = new Ztunnel({
      node: "node",
      sockets: markedSockets,
      identityFor: () => identity,
      flows: { push: (draft) => void flows.push(draft) },
      semantics,
      upstreamDns: "127.0.0.1",
    });
    capture([address, IPV6_OF_POD]);
    const placement: Placement = { pods: [pod], standIns: [], privilegedPortOffset: 0 };
    await ztunnel.apply(mesh, placement, [pod]);
    return new LiveZtunnel(address, flows, ztunnel, identity);
  }

  async stop(): Promise<void> {
    this.#identity.stop();
    await this.#ztunnel.close(0);
  }
}
