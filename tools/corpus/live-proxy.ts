/** Our own proxy in front of one workload of a recorded case, on the workload's own address. */

import { MeshProxy } from "../../src/dataplane/mesh-proxy.ts";
import type { ApplicationAddress } from "../../src/dataplane/proxy-options.ts";
import type { SvidSource } from "../../src/identity/rotation.ts";
import type { FlowDraft } from "../../src/model/flow-record.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import type { Placement, StandIn } from "../../src/model/placement.ts";
import { LiveAuthority } from "./live-certificates.ts";

export const OUTBOUND_SECRET = "corpus";

export interface LiveProxyOptions {
  readonly application?: ReadonlyMap<number, ApplicationAddress>;
  readonly standIns?: readonly StandIn[];
  readonly externalCaPem?: string;
}

const authorities = new Map<string, Promise<LiveAuthority>>();

/** The CA of a trust domain, made when first asked for. */
export function authorityOf(trustDomain: string): Promise<LiveAuthority> {
  const known = authorities.get(trustDomain) ?? LiveAuthority.open(trustDomain);
  authorities.set(trustDomain, known);
  return known;
}

export async function closeAuthorities(): Promise<void> {
  for (const authority of authorities.values()) (await authority).close();
}

export class LiveProxy {
  readonly workload: Workload;
  readonly address: string;
  readonly flows: FlowDraft[];
  readonly #proxy: MeshProxy;
  readonly #identity: SvidSource;

  private constructor(
    workload: Workload,
    address: string,
    flows: FlowDraft[],
    proxy: MeshProxy,
    identity: SvidSource,
  ) {
    this.workload = workload;
    this.address = address;
    this.flows = flows;
    this.#proxy = proxy;
    this.#identity = identity;
  }

  static async start(mesh: Mesh, workload: Workload, options: LiveProxyOptions = {}): Promise<LiveProxy> {
    const authority = await authorityOf(mesh.config.trustDomain);
    const placement = placementOf(mesh, options.standIns ?? []);
    const pod = placement.pods.find((candidate) => candidate.workload === workload.key);
    if (pod === undefined) throw new Error(`${workload.key} has no address`);
    const flows: FlowDraft[] = [];
    const identity = await authority.identity(workload.spiffeId);
    const proxy = new MeshProxy({
      pod,
      application: options.application ?? new Map(),
      outboundSecret: OUTBOUND_SECRET,
      identity,
      flows: { push: (draft) => void flows.push(draft) },
      semantics: "istio",
      ...(options.externalCaPem === undefined ? {} : { externalCaPem: options.externalCaPem }),
    });
    await proxy.apply(mesh, placement);
    return new LiveProxy(workload, pod.address, flows, proxy, identity);
  }

  /** The first record that fits, waited for: some are written after the client has its answer. */
  async flow(fits: (flow: FlowDraft) => boolean): Promise<FlowDraft | undefined> {
    const untilMs = performance.now() + 2000;
    for (;;) {
      const found = this.flows.find(fits);
      if (found !== undefined || performance.now() > untilMs) return found;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async stop(): Promise<void> {
    this.#identity.stop();
    await this.#proxy.close(0);
  }
}

function placementOf(mesh: Mesh, standIns: readonly StandIn[]): Placement {
  const pods = mesh.workloads.flatMap(({ key, name, addresses }) =>
    addresses.slice(0, 1).map((address) => ({ name: `${name}-0`, workload: key, replica: 0, address })),
  );
  return { pods, standIns, privilegedPortOffset: 0 };
}
