import { hash } from "node:crypto";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { readFederatedDomains } from "../dataplane/federated-trust.ts";
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
import type { FlowLines } from "../telemetry/flow-spill.ts";
import { liveAsChild, warn } from "./child-life.ts";
import { ControlLink, dialControl } from "./control-link.ts";
import { flowParams } from "./flow-params.ts";
import { HeldCertificate } from "./held-certificate.ts";
import { ProxyKeys } from "./jwks/proxy-keys.ts";
import {
  type FederatedRoots,
  type KeyText,
  listField,
  type PodConfigurationPush,
  type ProxyReport,
  type ProxyWelcome,
  type SignAnswer,
} from "./messages.ts";
import type { RevocationAnswer, RevocationUpdate } from "./revocation/messages.ts";
import type { TrustAnswer, TrustUpdate } from "./rotation/messages.ts";
import { type StateFolder, stateFolderAt } from "./state-folder.ts";
import { readToken } from "./token-file.ts";

export interface ProxyProcessOptions {
  readonly statePath: string;
  /** `namespace/name` */
  readonly pod: string;
}

const REPORT_INTERVAL_MS = 1000;
const REQUEST_TIMEOUT_MS = 10_000;
/** Control's own limit on fetching keys comes first. */
const KEYS_GRACE_MS = 500;
/** What open requests get to end in when the process is asked to stop. */
const CLOSE_GRACE_MS = 1000;
const FLUSH_TIMEOUT_MS = 1000;

/** Runs the proxy of one pod: gets its identity and configuration from control, and goes on with what it has while control is away. */
export function runProxyProcess(options: ProxyProcessOptions): void {
  const state = stateFolderAt(options.statePath);
  const own = new ProxyProcess(state, options.pod);
  liveAsChild(state, () => own.close());
}

let isCompiledCodeKept = false;

/** Node writes its compile cache at a process's end; the proxies that start after this one need it now. */
function keepCompiledCode(): void {
  if (isCompiledCodeKept) return;
  isCompiledCodeKept = true;
  setImmediate(flushCompileCache);
}

class ProxyProcess {
  readonly #state: StateFolder;
  readonly #podKey: string;
  readonly #link: ControlLink;
  readonly #keys = new ProxyKeys(
    async (id, timeoutMs) =>
      (await this.#link.request("refetchKeys", { id }, timeoutMs + KEYS_GRACE_MS)) as KeyText,
  );
  readonly #welcomed = Promise.withResolvers<RunningProxy>();
  #running: RunningProxy | undefined;
  #report: NodeJS.Timeout;

  constructor(state: StateFolder, podKey: string) {
    this.#state = state;
    this.#podKey = podKey;
    this.#link = new ControlLink({
      connect: () => this.#connect(),
    });
    this.#report = setInterval(() => this.#tell(), REPORT_INTERVAL_MS);
    this.#report.unref();
    process.on("exit", () => this.#running?.flows.spillNow());
  }

  async close(): Promise<void> {
    clearInterval(this.#report);
    await this.#running?.close();
    this.#link.close();
  }

  async #connect() {
    const peer = await dialControl(this.#state.controlSocket, {
      configure: (params) => this.#configure(params as PodConfigurationPush),
      trust: (params) => this.#follow(params as TrustUpdate),
      revoked: (params) => this.#revoked(params as RevocationUpdate),
      federation: (params) =>
        this.#running?.takeFederation(listField(params, "domains") as readonly FederatedRoots[]),
      keys: (params) => this.#keys.take(listField(params, "keys") as readonly KeyText[]),
    });
    try {
      const welcome = await peer.request("hello", { token: this.#token() }, REQUEST_TIMEOUT_MS);
      this.#running ??= this.#start(welcome as ProxyWelcome);
      this.#running.takeFederation((welcome as ProxyWelcome).federation);
      // While it was away much may have been revoked; what it knows already changes nothing.
      this.#running.takeRevocations((welcome as ProxyWelcome).revocations);
      this.#welcomed.resolve(this.#running);
      return peer;
    } catch (error) {
      peer.close();
      throw error;
    }
  }

  #start(welcome: ProxyWelcome): RunningProxy {
    return new RunningProxy({
      welcome,
      keys: this.#keys,
      spillDir: join(this.#state.root, "spill", this.#podKey.replace("/", ".")),
      sign: async (csr) =>
        (await this.#link.request(
          "sign",
          { token: this.#token(), csr: csr.toString("base64") },
          REQUEST_TIMEOUT_MS,
        )) as SignAnswer,
      sendFlows: async (lines) =>
        void (await this.#link.requestJson("flows", flowParams(lines), REQUEST_TIMEOUT_MS)),
      onWarning: warn,
      onCertificate: () => this.#tell(),
    });
  }

  async #configure(push: PodConfigurationPush): Promise<{ version: number }> {
    // The answer to `hello` and the first configuration can arrive in one piece.
    const running = await this.#welcomed.promise;
    // Before the policies that need them are in force, and until those that needed others no longer are.
    this.#keys.take(push.keys);
    await running.apply(push);
    keepCompiledCode();
    this.#keys.keepOnly(push.keys);
    // Ahead of the answer on the same connection: whoever hears that this proxy is ready can see its certificate.
    this.#tell();
    return { version: push.version };
  }

  async #follow(update: TrustUpdate): Promise<TrustAnswer> {
    const running = await this.#welcomed.promise;
    const answer = await running.follow(update);
    this.#tell();
    return answer;
  }

  async #revoked(update: RevocationUpdate): Promise<RevocationAnswer> {
    const running = await this.#welcomed.promise;
    return { cut: running.takeRevocations(update) };
  }

  #tell(): void {
    if (this.#running !== undefined) this.#link.notify("stats", this.#running.report());
  }

  #token(): string {
    return readToken(this.#state, this.#podKey);
  }
}

interface RunningProxyOptions {
  readonly welcome: ProxyWelcome;
  readonly keys: ProxyKeys;
  readonly spillDir: string;
  readonly sign: (csr: Buffer) => Promise<SignAnswer>;
  readonly sendFlows: (lines: FlowLines) => Promise<void>;
  readonly onWarning: (message: string) => void;
  /** Another certificate is in force, or none any more. */
  readonly onCertificate: () => void;
}

/** The proxy with its identity and its way to the flow log, from the first welcome to the end of the process. */
class RunningProxy {
  readonly flows: FlowBuffer;
  readonly #identity: SvidSource;
  readonly #certificate: HeldCertificate;
  readonly #proxy: MeshProxy;
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
    this.#identity = new SvidSource({ identity, requestCertificate: options.sign });
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
    this.#application.clear();
    for (const { port, host, socketPort } of push.applicationPorts)
      this.#application.set(port, { host, port: socketPort });
    const mesh = buildMesh(fromWire(push.resources));
    const config = withFederation(mesh.config, this.#federatedDomains);
    await this.#proxy.apply({ ...mesh, config }, push.placement);
  }

  /** INVARIANT: which domains there are is said before the first configuration and stays for control's life; later only their roots change. */
  takeFederation(domains: readonly FederatedRoots[]): void {
    const read = readFederatedDomains(domains);
    this.#federatedDomains = read.map(({ trustDomain }) => trustDomain);
    this.#proxy.federate(read);
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
