/** An ambient mesh in one process: a real CA, real ztunnels and waypoints, an echoing application on each pod's address; torn down with the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { OriginalDestination } from "../../../src/dataplane/capture/original-destination.ts";
import type { Limits } from "../../../src/dataplane/limits.ts";
import { MeshProxy } from "../../../src/dataplane/mesh-proxy.ts";
import { Ztunnel } from "../../../src/dataplane/ztunnel/ztunnel.ts";
import type { ZtunnelPod } from "../../../src/dataplane/ztunnel/ztunnel-pod.ts";
import { type CertificateAuthority, openCa } from "../../../src/identity/ca.ts";
import type { SvidSource } from "../../../src/identity/rotation.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Placement } from "../../../src/model/placement.ts";
import { parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import { meshOf, svidSource } from "../mesh-fixture.ts";
import { until } from "../until.ts";
import { LoopbackPods } from "./loopback-pods.ts";

export interface AmbientFixtureOptions {
  /** Second octet, so that test files that run side by side do not share addresses. */
  readonly net: number;
  readonly semantics?: Semantics;
  /** Name of a workload's node; default: all on one. */
  readonly nodeOf?: (workload: string) => string;
  /** What a pod's application does; default: echo. */
  readonly application?: (socket: Socket) => void;
  /** Whether a pod has an application at all; default: all. */
  readonly hasApplication?: (workload: string) => boolean;
  readonly limits?: Partial<Limits>;
  /** Waypoints that show another identity than their own. */
  readonly impostors?: Readonly<Record<string, string>>;
  /** In place of the right source of a pod's certificates. */
  readonly identityFor?: (pod: ZtunnelPod, right: SvidSource) => SvidSource;
}

/** What a client saw. */
export interface Heard {
  readonly bytes: Buffer;
  /** The connection was reset, or refused. */
  readonly error: string | undefined;
}

export class AmbientFixture {
  readonly ca: CertificateAuthority;
  readonly sockets = new LoopbackPods();
  readonly flows: FlowDraft[] = [];
  readonly warnings: string[] = [];
  readonly ztunnels = new Map<string, Ztunnel>();
  readonly sources = new Map<string, SvidSource>();
  readonly placement: Placement;
  readonly pods: readonly ZtunnelPod[];
  /** Addresses that applications saw their clients come from. */
  readonly callers: string[] = [];
  mesh: Mesh;
  readonly #waypoints = new Map<string, MeshProxy>();
  readonly #options: AmbientFixtureOptions;
  readonly #applications: Server[] = [];

  private constructor(ca: CertificateAuthority, mesh: Mesh, options: AmbientFixtureOptions) {
    this.ca = ca;
    this.mesh = mesh;
    this.#options = options;
    const pods = mesh.workloads.map((workload, index) => ({
      name: `${workload.name}-0`,
      namespace: workload.namespace,
      workload: workload.key,
      replica: 0,
      address: workload.addresses[0] ?? `127.${options.net}.0.${index + 1}`,
      uid: `uid-${workload.key}`,
      spiffeId: workload.spiffeId,
      netns: `test-${workload.name}`,
    }));
    this.pods = pods;
    const virtualAddresses = mesh.services
      .filter(
        ({ headless, addresses, hostname }) =>
          !headless && addresses.length === 0 && !hostname.startsWith("*"),
      )
      .map(({ hostname }, index) => ({ hostname, address: `127.${options.net}.9.${index + 1}` }));
    this.placement = { pods, standIns: [], privilegedPortOffset: 0, virtualAddresses };
  }

  static async start(
    context: TestContext,
    yaml: string,
    options: AmbientFixtureOptions,
  ): Promise<AmbientFixture> {
    const folder = mkdtempSync(join(tmpdir(), "bulwark-ztunnel-"));
    const mesh = meshOf(yaml);
    const trustDomain = parseTrustDomain(mesh.config.trustDomain);
    if (trustDomain === undefined) throw new Error("bad trust domain in the fixture");
    const ca = await openCa(folder, { trustDomain });
    const fixture = new AmbientFixture(ca, mesh, options);
    context.after(async () => {
      await fixture.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    await fixture.#startApplications();
    for (const { spiffeId } of fixture.ambientPods) await fixture.source(spiffeId);
    await fixture.#applyToAll();
    return fixture;
  }

  get ambientPods(): readonly ZtunnelPod[] {
    const ambient = new Set(
      this.mesh.workloads.filter(({ dataplane }) => dataplane === "ambient").map(({ key }) => key),
    );
    return this.pods.filter(({ workload }) => ambient.has(workload));
  }

  pod(workload: string): ZtunnelPod {
    const found = this.pods.find((pod) => pod.workload === workload);
    if (found === undefined) throw new Error(`the fixture has no pod ${workload}`);
    return found;
  }

  virtualAddress(hostname: string): string {
    const found = this.placement.virtualAddresses?.find((virtual) => virtual.hostname === hostname);
    if (found === undefined) throw new Error(`the fixture has no service ${hostname}`);
    return found.address;
  }

  /** The source of an identity's certificates, with its first one. */
  async source(spiffeId: string): Promise<SvidSource> {
    const known = this.sources.get(spiffeId);
    if (known !== undefined) return known;
    const made = svidSource(this.ca, spiffeId, 3600);
    await made.start();
    this.sources.set(spiffeId, made);
    return made;
  }

  /** Replaces the configuration of every ztunnel. */
  async apply(yaml: string, pods?: readonly ZtunnelPod[]): Promise<void> {
    this.mesh = meshOf(yaml);
    await this.#applyToAll(pods);
  }

  /** As the pod's application would dial. */
  dial(from: string, to: OriginalDestination): Socket {
    const { address } = this.pod(from);
    return this.sockets.redirected(address, { ip: address, port: 15001 }, to);
  }

  /** As something without any proxy would dial a pod. */
  dialInClear(from: string, to: OriginalDestination): Socket {
    return this.sockets.redirected(from, { ip: to.ip, port: 15006 }, to);
  }

  /** The record that fits, once it is written. */
  async flow(fits: (flow: FlowDraft) => boolean, what = "the record"): Promise<FlowDraft> {
    await eventually(() => this.flows.some(fits), what);
    return this.flows.find(fits) as FlowDraft;
  }

  async #applyToAll(pods: readonly ZtunnelPod[] = this.ambientPods): Promise<void> {
    const { nodeOf = () => "node-a" } = this.#options;
    const byNode = Map.groupBy(pods, ({ workload }) => nodeOf(workload));
    for (const pod of this.ambientPods) this.sockets.capture(pod);
    for (const node of new Set([...byNode.keys(), ...this.ztunnels.keys()])) {
      const ztunnel = this.ztunnels.get(node) ?? this.#ztunnel(node);
      this.ztunnels.set(node, ztunnel);
      await ztunnel.apply(this.mesh, this.placement, byNode.get(node) ?? []);
    }
    for (const workload of this.mesh.workloads)
      if (workload.role === "waypoint") await this.#applyToWaypoint(this.pod(workload.key));
  }

  async #applyToWaypoint(pod: ZtunnelPod): Promise<void> {
    const known = this.#waypoints.get(pod.workload);
    const proxy =
      known ??
      new MeshProxy({
        pod,
        application: new Map(),
        outboundSecret: "none",
        identity: await this.source(this.#options.impostors?.[pod.workload] ?? pod.spiffeId),
        flows: { push: (draft) => void this.flows.push(draft) },
      });
    this.#waypoints.set(pod.workload, proxy);
    await proxy.apply(this.mesh, this.placement);
  }

  #ztunnel(node: string): Ztunnel {
    const { semantics, limits, identityFor } = this.#options;
    return new Ztunnel({
      node,
      sockets: this.sockets,
      identityFor: (pod) => {
        const right = this.sources.get(pod.spiffeId);
        if (right === undefined) throw new Error(`no source for ${pod.spiffeId}`);
        return identityFor?.(pod, right) ?? right;
      },
      flows: { push: (draft) => void this.flows.push(draft) },
      upstreamDns: "127.0.0.1",
      onWarning: (message) => void this.warnings.push(message),
      ...(semantics === undefined ? {} : { semantics }),
      ...(limits === undefined ? {} : { limits }),
    });
  }

  async #startApplications(): Promise<void> {
    const { application = echo, hasApplication = () => true } = this.#options;
    for (const workload of this.mesh.workloads) {
      if (!hasApplication(workload.key)) continue;
      for (const { port } of workload.ports) {
        const server = createServer({ allowHalfOpen: true }, (socket) => {
          socket.on("error", ignore);
          this.callers.push(socket.remoteAddress ?? "");
          application(socket);
        });
        this.#applications.push(server);
        await new Promise<void>((resolve, reject) => {
          server.once("error", reject).listen(port, this.pod(workload.key).address, resolve);
        });
      }
    }
  }

  /** May be called again. */
  async stop(): Promise<void> {
    for (const source of this.sources.values()) source.stop();
    for (const ztunnel of this.ztunnels.values()) await ztunnel.close(0);
    for (const proxy of this.#waypoints.values()) await proxy.close(0);
    for (const { socket } of this.sockets.dialled) socket.destroy();
    for (const server of this.#applications.splice(0)) server.close();
  }
}

/** Long enough for a machine that pauses. */
const PATIENCE_MS = 30_000;

/** Waits for a condition, however slow the machine is. */
export function eventually(condition: () => boolean, what: string): Promise<void> {
  return until(condition, what, PATIENCE_MS);
}

/** Sends, ends its own direction, and hears the other out. */
export function converse(socket: Socket, bytes: string | Buffer): Promise<Heard> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    let error: string | undefined;
    socket.on("error", ({ code, message }: NodeJS.ErrnoException) => {
      error = code ?? message;
    });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("close", () => resolve({ bytes: Buffer.concat(chunks), error }));
    socket.once("end", () => socket.end());
    socket.end(bytes);
  });
}

/** Whether the other side has ended it, in whatever way. */
export function isOver(socket: Socket): boolean {
  return socket.readableEnded || socket.destroyed;
}

function echo(socket: Socket): void {
  socket.pipe(socket);
}

function ignore(): void {}
