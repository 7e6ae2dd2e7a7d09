import { randomBytes, randomInt, randomUUID } from "node:crypto";
import type { Mesh } from "../model/mesh.ts";
import { OUTBOUND_PROXY_PORT } from "../model/placement.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import {
  type ApplicationPort,
  type Assignments,
  type PodAssignment,
  podKey,
  type StandInAssignment,
} from "./assignment.ts";
import { externalHosts } from "./external-hosts.ts";
import { findLoopbackAddress, firstBusyPort } from "./loopback-address.ts";
import { privilegedPortOffset, probeListen } from "./socket-probe.ts";
import type { Substrate } from "./substrate.ts";
import { type WantedPod, wantedPods } from "./wanted-pods.ts";
import { type WorkloadPort, workloadPorts } from "./workload-ports.ts";

export interface LoopbackOptions {
  /**
   * What tells this mesh from others on the machine: two that start at the same moment must not derive the same addresses,
   * since both would find them free.
   */
  readonly meshId: string;
  /** Stand-ins for every external host of a ServiceEntry. */
  readonly simulateExternal: boolean;
  /** Nothing of this mesh runs: kept addresses are checked for other users, and applications get new ports. */
  readonly fresh: boolean;
}

/** Workloads as addresses of 127/8 on this machine. */
export function loopbackSubstrate(options: LoopbackOptions): Substrate {
  return {
    name: "loopback",
    cannotEnforce: [
      "a process on this machine that opens its own socket is not captured: it can leave past its sidecar",
      "NetworkPolicy is not enforced below the mesh",
      "there is no ambient mode: its workloads stand behind sidecars, and waypoints are not run",
    ],
    assign: (mesh, previous) => new LoopbackAssigner(mesh, previous, options).assign(),
  };
}

/** Applications listen below Linux's ephemeral ports (from 32768), so that no outgoing connection can sit on theirs. */
const FIRST_APPLICATION_PORT = 20_000;
const LAST_APPLICATION_PORT = 32_000;
const SECRET_BYTES = 24;

class LoopbackAssigner {
  readonly #mesh: Mesh;
  readonly #options: LoopbackOptions;
  readonly #previousPods: ReadonlyMap<string, PodAssignment>;
  readonly #previousStandIns: ReadonlyMap<string, StandInAssignment>;
  readonly #takenAddresses: Set<string>;
  readonly #takenPorts: Set<number>;
  #offset = 0;

  constructor(mesh: Mesh, previous: Assignments, options: LoopbackOptions) {
    this.#mesh = mesh;
    this.#options = options;
    this.#previousPods = new Map(previous.pods.map((pod) => [podKey(pod), pod]));
    this.#previousStandIns = new Map(previous.standIns.map((standIn) => [standIn.host, standIn]));
    this.#takenAddresses = new Set([...previous.pods, ...previous.standIns].map(({ address }) => address));
    this.#takenPorts = new Set(
      previous.pods.flatMap((pod) => pod.applicationPorts.map(({ socketPort }) => socketPort)),
    );
  }

  async assign(): Promise<Assignments> {
    this.#offset = await privilegedPortOffset();
    const { wanted, skipped } = wantedPods(this.#mesh, { ambient: false });
    const pods: PodAssignment[] = [];
    for (const pod of wanted) pods.push(await this.#pod(pod));
    const standIns: StandInAssignment[] = [];
    for (const [host, ports] of this.#options.simulateExternal ? externalHosts(this.#mesh) : []) {
      standIns.push(await this.#standIn(host, ports));
    }
    return { pods, standIns, skipped, privilegedPortOffset: this.#offset };
  }

  async #pod({ workload, name, replica }: WantedPod): Promise<PodAssignment> {
    const key = podKey({ namespace: workload.namespace, name });
    const previous = this.#previousPods.get(key);
    const proxied = workload.dataplane !== "none";
    const ports = workloadPorts(this.#mesh, workload);
    const sockets = ports.map(({ port }) => this.#socketPort(port));
    const address = await this.#address(`pod ${key}`, previous?.address, [
      ...(proxied ? [OUTBOUND_PROXY_PORT] : []),
      ...sockets,
    ]);
    return {
      name,
      workload: workload.key,
      replica,
      address,
      namespace: workload.namespace,
      // Another account is another pod: a token of the one before must not work for it.
      uid: previous?.spiffeId === workload.spiffeId ? previous.uid : randomUUID(),
      serviceAccount: workload.serviceAccount,
      spiffeId: workload.spiffeId,
      role: workload.role === "gateway" ? "gateway" : "application",
      proxied,
      outboundSecret: !proxied
        ? ""
        : previous?.outboundSecret || randomBytes(SECRET_BYTES).toString("base64url"),
      applicationPorts:
        workload.role === "gateway" ? [] : await this.#applicationPorts(previous, address, proxied, ports),
    };
  }

  async #applicationPorts(
    previous: PodAssignment | undefined,
    address: string,
    proxied: boolean,
    ports: readonly WorkloadPort[],
  ): Promise<readonly ApplicationPort[]> {
    const assigned: ApplicationPort[] = [];
    for (const { port, protocol } of ports) {
      if (!proxied) {
        assigned.push({ port, host: address, socketPort: this.#socketPort(port), protocol });
        continue;
      }
      const kept = this.#options.fresh
        ? undefined
        : previous?.applicationPorts.find((candidate) => candidate.port === port)?.socketPort;
      assigned.push({
        port,
        host: "127.0.0.1",
        socketPort: kept ?? (await this.#freeApplicationPort()),
        protocol,
      });
    }
    return assigned;
  }

  async #standIn(host: string, ports: readonly WorkloadPort[]): Promise<StandInAssignment> {
    const sockets = ports.map(({ port }) => this.#socketPort(port));
    const previous = this.#previousStandIns.get(host)?.address;
    return { host, address: await this.#address(`stand-in ${host}`, previous, sockets), ports };
  }

  async #address(name: string, previous: string | undefined, ports: readonly number[]): Promise<string> {
    if (previous !== undefined && !this.#options.fresh) return previous;
    if (previous !== undefined && (await firstBusyPort(previous, ports)) === undefined) return previous;
    const seed = `${this.#options.meshId} ${name}`;
    const address = await findLoopbackAddress(seed, this.#takenAddresses, ports);
    this.#takenAddresses.add(address);
    return address;
  }

  async #freeApplicationPort(): Promise<number> {
    for (let attempt = 0; attempt < 1000; attempt++) {
      const port = randomInt(FIRST_APPLICATION_PORT, LAST_APPLICATION_PORT);
      if (this.#takenPorts.has(port) || (await probeListen("127.0.0.1", port)) !== "free") continue;
      this.#takenPorts.add(port);
      return port;
    }
    throw new BulwarkError(
      "BW_SUBSTRATE_NO_ADDRESS",
      `no free port for an application between ${FIRST_APPLICATION_PORT} and ${LAST_APPLICATION_PORT} on 127.0.0.1`,
    );
  }

  #socketPort(port: number): number {
    return port < 1024 ? port + this.#offset : port;
  }
}
