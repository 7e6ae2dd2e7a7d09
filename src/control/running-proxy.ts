import { hash } from "node:crypto";
import { flushCompileCache } from "node:module";
import type { FederatedDomain } from "../dataplane/federated-trust.ts";
import { MeshProxy } from "../dataplane/mesh-proxy.ts";
import type { ApplicationAddress } from "../dataplane/proxy-options.ts";
import { issuerKeyIdOf, SvidSource } from "../identity/rotation.ts";
import { buildMesh } from "../model/build-mesh.ts";
import { withFederation } from "../model/mesh-config.ts";
import { parseSpiffeId } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { fromWire } from "../resources/wire.ts";
import { toPodPlacement } from "../substrate/assignment.ts";
import { CLUSTER_DNS } from "../substrate/netns/addresses.ts";
import { FlowBuffer } from "../telemetry/flow-buffer.ts";
import { HeldCertificate } from "./held-certificate.ts";
import type { ProxyKeys } from "./jwks/proxy-keys.ts";
import type { PodConfigurationPush, ProxyReport, ProxyWelcome, SignAnswer } from "./messages.ts";
import type { RevocationUpdate } from "./revocation/messages.ts";
import type { TrustAnswer, TrustUpdate } from "./rotation/messages.ts";
import type { SessionHandle, SessionWork } from "./session-process.ts";

/** What open requests get to end in when the process is asked to stop. */
const CLOSE_GRACE_MS = 1000;
const FLUSH_TIMEOUT_MS = 1000;

export interface RunningProxyOptions extends SessionHandle {
  readonly welcome: ProxyWelcome;
  readonly keys: ProxyKeys;
  readonly onWarning: (message: string) => void;
}

/** The proxy with its identity and its way to the flow log, from the first welcome to the end of the process. */
export class RunningProxy implements SessionWork<PodConfigurationPush> {
  readonly flows: FlowBuffer;
  readonly #identity: SvidSource;
  readonly #certificate: HeldCertificate;
  readonly #proxy: MeshProxy;
  readonly #keys: ProxyKeys;
  /** The proxy looks into it for each connection: ports that a Service adds later come in here. */
  readonly #application = new Map<number, ApplicationAddress>();
  #federatedDomains: readonly string[] = [];
  /** Settles when the first certificate has been asked for. */
  readonly #started = Promise.withResolvers<void>();

  constructor(options: RunningProxyOptions) {
    const { pod, externalCaPem } = options.welcome;
    const identity = parseSpiffeId(pod.spiffeId)?.id;
    if (identity === undefined)
      throw new BulwarkError("BW_SPIFFE_ID_INVALID", `\`${pod.spiffeId}\` is no SPIFFE ID`);
    this.flows = new FlowBuffer({
      reporter: pod.workload,
      spillDir: options.spillDir,
      send: (lines) => options.sendFlows(lines),
      onDegraded: ({ message }) => options.onWarning(message),
    });
    this.#keys = options.keys;
    const requestCertificate = async (csr: Buffer) => (await options.sign(csr)) as SignAnswer;
    this.#identity = new SvidSource({ identity, requestCertificate });
    this.#certificate = new HeldCertificate(this.#identity, options);
    this.#proxy = new MeshProxy({
      pod: toPodPlacement(pod),
      application: this.#application,
      outboundSecret: pod.outboundSecret,
      identity: this.#identity,
      flows: this.flows,
      keys: options.keys,
      // A sidecar in a namespace of its own pod; gateways and waypoints are dialled as they are.
      ...(pod.network === undefined || pod.role !== "application"
        ? {}
        : { captured: { upstreamDns: CLUSTER_DNS.address } }),
      ...(externalCaPem === null ? {} : { externalCaPem }),
      onWarning: options.onWarning,
    });
    // Not at once: the link that carries the request counts as up only when this constructor has returned.
    setImmediate(() => {
      void this.#identity.start();
      this.#started.resolve();
    });
  }

  async apply(push: PodConfigurationPush): Promise<void> {
    // Before it the proxy has nothing to listen with.
    await this.#certificate.first;
    // Before the policies that need them are in force, and until those that needed others no longer are.
    this.#keys.take(push.keys);
    this.#application.clear();
    for (const { port, host, socketPort } of push.applicationPorts)
      this.#application.set(port, { host, port: socketPort });
    const mesh = buildMesh(fromWire(push.resources));
    const config = withFederation(mesh.config, this.#federatedDomains);
    await this.#proxy.apply({ ...mesh, config }, push.placement);
    keepCompiledCode();
    this.#keys.keepOnly(push.keys);
  }

  /** INVARIANT: which domains there are is said before the first configuration and stays for control's life; later only their roots change. */
  takeFederation(domains: readonly FederatedDomain[]): void {
    this.#federatedDomains = domains.map(({ trustDomain }) => trustDomain);
    this.#proxy.federate(domains);
  }

  /** Settles when nothing of before is left: neither in force nor in a handshake under way. */
  async follow(update: TrustUpdate): Promise<TrustAnswer> {
    // The first certificate is asked for by itself; asking for another meanwhile would get two.
    await this.#started.promise;
    try {
      await this.#identity.follow(update);
    } catch (error) {
      // Without a certificate everything is refused, and the next one brings the trust of then.
      if (this.#identity.current !== undefined) throw error;
    }
    await this.#proxy.untilOldHandshakesEnded();
    const svid = this.#identity.current;
    return {
      issuerKeyId: issuerKeyIdOf(svid) ?? "",
      bundle: svid === undefined ? "" : hash("sha256", svid.trustBundlePem, "hex"),
    };
  }

  /** @returns how many live connections were ended. */
  takeRevocations(update: RevocationUpdate): number {
    return this.#proxy.takeRevocations(update);
  }

  report(): ProxyReport {
    const { inMemory, dropped, pushed, acknowledged } = this.flows.stats;
    return {
      stats: this.#proxy.stats(),
      certificate: this.#certificate.status,
      flowsWaiting: Math.max(inMemory, pushed - acknowledged - dropped),
      flowsDropped: dropped,
    };
  }

  async close(): Promise<void> {
    await this.#proxy.close(CLOSE_GRACE_MS);
    this.#identity.stop();
    await this.flows.close(FLUSH_TIMEOUT_MS);
  }
}

let isCompiledCodeKept = false;

/** Node writes its compile cache at a process's end; the proxies that start after this one need it now. */
function keepCompiledCode(): void {
  if (isCompiledCodeKept) return;
  isCompiledCodeKept = true;
  setImmediate(flushCompileCache);
}
