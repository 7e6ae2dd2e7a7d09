import { setTimeout as delay } from "node:timers/promises";
import type { FederatedDomain } from "../../dataplane/federated-trust.ts";
import { Ztunnel } from "../../dataplane/ztunnel/ztunnel.ts";
import { ztunnelReporter } from "../../dataplane/ztunnel/ztunnel-reporter.ts";
import { buildMesh } from "../../model/build-mesh.ts";
import type { Mesh } from "../../model/mesh.ts";
import { withFederation } from "../../model/mesh-config.ts";
import { fromWire } from "../../resources/wire.ts";
import { CLUSTER_DNS } from "../../substrate/netns/addresses.ts";
import { podSockets } from "../../substrate/netns/pod-sockets.ts";
import { FlowBuffer } from "../../telemetry/flow-buffer.ts";
import type { FlowLines } from "../../telemetry/flow-spill.ts";
import type { ProxyReport, ZtunnelConfigurationPush } from "../messages.ts";
import type { RevocationUpdate } from "../revocation/messages.ts";
import type { TrustAnswer, TrustUpdate } from "../rotation/messages.ts";
import type { SessionWork } from "../session-process.ts";
import { presentPods } from "./present-pods.ts";
import { ZtunnelIdentities, type ZtunnelIdentitiesOptions } from "./ztunnel-identities.ts";

export interface RunningZtunnelOptions extends ZtunnelIdentitiesOptions {
  readonly node: string;
  readonly spillDir: string;
  readonly sendFlows: (lines: FlowLines) => Promise<void>;
}

/** What open connections get to end in when the process is asked to stop. */
const CLOSE_GRACE_MS = 1000;
const FLUSH_TIMEOUT_MS = 1000;
/** A pod's network is made, and its sidecar of before ended, by another process at about the same time. */
const PODS_TIMEOUT_MS = 10_000;
const LOOK_MS = 250;

/** A configuration, as far as it was read. */
interface Wanted {
  readonly mesh: Mesh;
  readonly push: ZtunnelConfigurationPush;
}

/** The ztunnel with its identities and its way to the flow log, from the first welcome to the end of the process. */
export class RunningZtunnel implements SessionWork<ZtunnelConfigurationPush> {
  readonly flows: FlowBuffer;
  readonly #options: RunningZtunnelOptions;
  readonly #identities: ZtunnelIdentities;
  readonly #ztunnel: Ztunnel;
  readonly #look: NodeJS.Timeout;
  #federatedDomains: readonly string[] = [];
  #wanted: Wanted | undefined;
  /** The pods that were last served, by the networks in which they were. */
  #served = "";
  /** One after the other. */
  #applying: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: RunningZtunnelOptions) {
    this.#options = options;
    const { node, onWarning } = options;
    this.flows = new FlowBuffer({
      reporter: ztunnelReporter(node),
      spillDir: options.spillDir,
      send: (lines) => options.sendFlows(lines),
      onDegraded: ({ message }) => onWarning(message),
    });
    this.#identities = new ZtunnelIdentities(options);
    this.#ztunnel = new Ztunnel({
      node,
      sockets: podSockets,
      identityFor: (pod) => this.#identities.of(pod),
      flows: this.flows,
      upstreamDns: CLUSTER_DNS.address,
      onWarning,
    });
    this.#look = setInterval(() => this.#lookAgain(), LOOK_MS);
    this.#look.unref();
  }

  /**
   * Settles when all pods of the node are served by this configuration. Those that can be are at once; the others are waited for.
   * @throws what keeps a pod from being served still after 10 s; the others are.
   */
  async apply(push: ZtunnelConfigurationPush): Promise<void> {
    const mesh = buildMesh(fromWire(push.resources));
    const wanted = {
      mesh: { ...mesh, config: withFederation(mesh.config, this.#federatedDomains) },
      push,
    };
    this.#wanted = wanted;
    await this.#identities.take(push.ambientPods);
    const untilMs = performance.now() + PODS_TIMEOUT_MS;
    for (;;) {
      const problem = await this.#serve(wanted).then(
        () => this.#missing(wanted),
        (error: unknown) => error,
      );
      if (problem === undefined || this.#wanted !== wanted) break;
      if (performance.now() >= untilMs) throw problem;
      await delay(LOOK_MS);
    }
    this.#identities.dropUnused();
  }

  /** INVARIANT: which domains there are is said before the first configuration and stays for control's life; later only their roots change. */
  takeFederation(domains: readonly FederatedDomain[]): void {
    this.#federatedDomains = domains.map(({ trustDomain }) => trustDomain);
    this.#ztunnel.federate(domains);
  }

  /** Settles when nothing of before is left: neither in force nor in a handshake under way. */
  async follow(update: TrustUpdate): Promise<TrustAnswer> {
    const answer = await this.#identities.follow(update);
    await this.#ztunnel.untilOldHandshakesEnded();
    return answer;
  }

  /** @returns how many live connections were ended. */
  takeRevocations(update: RevocationUpdate): number {
    return this.#ztunnel.takeRevocations(update);
  }

  report(): ProxyReport {
    const { inMemory, dropped, pushed, acknowledged } = this.flows.stats;
    return {
      stats: this.#ztunnel.stats(),
      certificate: null,
      certificates: this.#identities.certificates,
      flowsWaiting: Math.max(inMemory, pushed - acknowledged - dropped),
      flowsDropped: dropped,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#look);
    await this.#ztunnel.close(CLOSE_GRACE_MS);
    this.#identities.stop();
    await this.flows.close(FLUSH_TIMEOUT_MS);
  }

  /** A pod's network may be made anew, or come late, without any other configuration. */
  #lookAgain(): void {
    const wanted = this.#wanted;
    if (wanted === undefined || networksOf(wanted) === this.#served) return;
    this.#serve(wanted).catch((error: unknown) =>
      this.#options.onWarning(
        `pods are not served: ${error instanceof Error ? error.message : String(error)}`,
      ),
    );
  }

  #serve({ mesh, push }: Wanted): Promise<void> {
    const serving = this.#applying.then(async () => {
      if (this.#isClosed) return;
      const pods = presentPods(push.ambientPods);
      // Also where it fails: what it was tried with is not tried again before it changes, but by who waits for it.
      this.#served = JSON.stringify(pods.map(({ uid }) => uid));
      await this.#ztunnel.apply(mesh, push.placement, pods);
    });
    this.#applying = serving.catch(() => {});
    return serving;
  }

  #missing({ push }: Wanted): Error | undefined {
    const present = new Set(presentPods(push.ambientPods).map(({ netns }) => netns));
    const missing = push.ambientPods.filter(({ netns }) => !present.has(netns));
    if (missing.length === 0) return undefined;
    const names = missing.map(({ namespace, name }) => `${namespace}/${name}`).join(", ");
    return new Error(`the network of ${names} is not there`);
  }
}

function networksOf({ push }: Wanted): string {
  return JSON.stringify(presentPods(push.ambientPods).map(({ uid }) => uid));
}
