import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificateAuthority } from "../identity/ca.ts";
import type { MaterialFollower } from "../identity/plug-in/follow-material.ts";
import type { FinishedRotation, Rotation } from "../identity/rotation/rotation.ts";
import {
  type Assignments,
  NO_ASSIGNMENTS,
  type PodAssignment,
  podKey,
  type SessionHolder,
  sessionHolders,
} from "../substrate/assignment.ts";
import { loopbackSubstrate } from "../substrate/loopback.ts";
import { netnsSubstrate } from "../substrate/netns/netns.ts";
import type { SubstrateName } from "../substrate/substrate.ts";
import { FlowBuffer } from "../telemetry/flow-buffer.ts";
import { adminMethods } from "./admin-methods.ts";
import { CaAccess } from "./ca-grpc/ca-access.ts";
import { type CaAccessConfiguration, NO_CA_ACCESS, readCaAccess } from "./ca-grpc/ca-access-configuration.ts";
import type { CaGrpcService } from "./ca-grpc/ca-grpc-service.ts";
import { CA_REPORTER } from "./ca-journalist.ts";
import { followCa, readCaFlags } from "./ca-settings.ts";
import { CertificateService } from "./certificate-service.ts";
import { warn } from "./child-life.ts";
import { ConfigurationKeeper } from "./configuration-keeper.ts";
import { ConfigurationWatch } from "./configuration-watch.ts";
import { ControlServer } from "./control-server.ts";
import { FlowLog } from "./flow-log.ts";
import { type IdentityInterfaceChoice, IdentityInterfaces } from "./identity-interfaces.ts";
import { DEFAULT_REFRESH_MS } from "./jwks/jwks-keeper.ts";
import { JwksService } from "./jwks/jwks-service.ts";
import { parseKeyAccess } from "./jwks/key-access.ts";
import { ListeningParts } from "./listening-parts.ts";
import { liveHolders } from "./live-holders.ts";
import { lifeOf } from "./mesh-life.ts";
import { type ControlEvent, textField } from "./messages.ts";
import { podSocket } from "./netns/pod-folders.ts";
import { openCa } from "./open-ca.ts";
import { tokenTrust } from "./own-tokens.ts";
import { ProxySessions } from "./proxy-sessions.ts";
import { type RevocationChoice, RevocationControl } from "./revocation/revocation-control.ts";
import { auditRotation } from "./rotation/audit-rotation.ts";
import type { ReplicaRegister } from "./rotation/replica-register.ts";
import { RotationDriver } from "./rotation/rotation-driver.ts";
import type { RpcPeer } from "./rpc.ts";
import { standInCa } from "./stand-in-ca.ts";
import type { StateFolder } from "./state-folder.ts";
import { readToken } from "./token-file.ts";
import { parseFederation } from "./trust-bundle/federation-option.ts";

/** Streams of the Workload API get a certificate of the new signer at once, but nobody tells when their clients have taken it. */
const STREAMS_FOLLOW_MS = 5000;

export interface ControlProcessOptions {
  readonly statePath: string;
  readonly sources: readonly string[];
  /** 0: the CA's default, 24 h. */
  readonly certTtlSeconds: number;
  readonly simulateExternal: boolean;
  /** Where pods live; default `loopback`. */
  readonly substrate?: SubstrateName;
  /** How keys for tokens are fetched; by default every 20 minutes, from the places that checkAccess lets through. */
  readonly keys?: { readonly refreshMs?: number; readonly allow?: readonly string[] };
  readonly revocation?: RevocationChoice;
  /** File that says who else may ask the CA, and where (docs/ca-authentication.md); by default nobody but this mesh's proxies. */
  readonly caAccess?: string;
  /** What programs that are not ours are given identities by; by default nothing. */
  readonly interfaces?: IdentityInterfaceChoice;
  /** How the CA keeps its keys, as `caFlags` writes it. */
  readonly caSettings?: string | undefined;
  /** Address of a shared store of the CA's records (docs/ca-store.md); by default they are in the state folder. */
  readonly store?: string;
}

const CA_ISSUER_KEYS_FILE = "ca-issuer-keys.json";

/** Everything that the control plane of one mesh consists of, wired together. */
export class ControlPlane {
  readonly #state: StateFolder;
  readonly #options: ControlProcessOptions;
  readonly #keeper: ConfigurationKeeper;
  readonly #ca: CertificateAuthority;
  readonly #subscribers = new Set<RpcPeer>();
  readonly #flowLog: FlowLog;
  /** What the CA itself reports. */
  readonly #flows: FlowBuffer;
  readonly #caAccess: CaAccessConfiguration;
  readonly #access: CaAccess;
  readonly #certificates: CertificateService;
  readonly #keys: JwksService;
  readonly #rotation: RotationDriver;
  readonly #replicas: ReplicaRegister | undefined;
  readonly #revocation: RevocationControl;
  readonly #sessions: ProxySessions;
  readonly #watch: ConfigurationWatch;
  readonly #server: ControlServer;
  #interfaces: IdentityInterfaces | undefined;
  #caFollower: MaterialFollower | undefined;
  #caGrpc: CaGrpcService | undefined;

  /** @throws {BulwarkError} BW_CA_…, BW_KEYSTORE_…, BW_TRUST_DOMAIN_INVALID. */
  static async open(state: StateFolder, options: ControlProcessOptions): Promise<ControlPlane> {
    const { simulateExternal } = options;
    const keeper = new ConfigurationKeeper(
      state,
      options.substrate === "netns"
        ? netnsSubstrate({ meshId: state.root, simulateExternal })
        : loopbackSubstrate({ meshId: state.root, simulateExternal, fresh: false }),
      parseFederation(options.interfaces?.federate ?? []).map(({ trustDomain }) => trustDomain),
    );
    const { ca, replicas } = await openCa(state, options, keeper.current?.mesh.config.trustDomain);
    return new ControlPlane(state, options, keeper, ca, replicas);
  }

  constructor(
    state: StateFolder,
    options: ControlProcessOptions,
    keeper: ConfigurationKeeper,
    ca: CertificateAuthority,
    replicas?: ReplicaRegister,
  ) {
    this.#state = state;
    this.#options = options;
    this.#keeper = keeper;
    this.#ca = ca;
    this.#replicas = replicas;
    this.#flowLog = new FlowLog(state.flowLog, {
      onWarning: warn,
      onHealth: (ok, message) => this.#tell({ kind: "flow-log", ok, message }),
    });
    this.#flows = new FlowBuffer({
      reporter: CA_REPORTER,
      spillDir: join(state.root, "spill", "control"),
      send: async ({ text }) => this.#flowLog.insertLines(text, { reporter: CA_REPORTER }),
    });
    const { caAccess } = options.interfaces ?? {};
    this.#caAccess = caAccess === undefined ? NO_CA_ACCESS : readCaAccess(caAccess, ca.trustDomain);
    this.#access = this.#makeAccess();
    this.#certificates = this.#makeCertificateService();
    this.#keys = this.#makeJwksService();
    this.#rotation = new RotationDriver({
      ca,
      proxies: () => sessionHolders(this.#assignments).map(podKey),
      overlapMs: () => (this.#interfaces === undefined ? 0 : STREAMS_FOLLOW_MS),
      onPhase: (rotation, last) => this.#rotationWentOn(rotation, last),
      onProblem: (message) => this.#tell({ kind: "ca-rotation-problem", message }),
      replicas,
    });
    this.#revocation = new RevocationControl({
      ...options.revocation,
      ca,
      rotation: this.#rotation,
      otherIssuers: () => replicas?.otherIssuers ?? new Set(),
      sessions: () => this.#sessions,
      holders: () => this.#holders(),
      tell: (event) => this.#tell(event),
      record: (draft) => this.#flows.push({ ...draft, reporter: CA_REPORTER }),
      warn,
    });
    this.#sessions = new ProxySessions({
      keys: this.#keys,
      certificates: this.#certificates,
      flowLog: this.#flowLog,
      configuration: () => keeper.push(),
      mesh: () => keeper.current?.mesh,
      pods: () => this.#pods(),
      ztunnels: () => this.#assignments.ztunnels ?? [],
      tokenOf: (pod) => readToken(state, podKey(pod)),
      externalCaPem: () => (options.simulateExternal ? standInCa(state) : null),
      federation: () => this.#interfaces?.federatedRoots ?? [],
      onEvent: (event) => this.#tell(event),
      follow: (pod, peer) => this.#rotation.welcome(pod, peer),
      revocations: () => this.#revocation.everything,
    });
    this.#watch = new ConfigurationWatch({
      sources: options.sources,
      keeper,
      onEvent: (event) => this.#tell(event),
      onAccepted: () => {
        this.#keys.configurationChanged();
        this.#sessions.pushAll();
        void this.#interfaces?.podsChanged();
      },
    });
    this.#server = this.#makeServer();
  }

  async serve(): Promise<void> {
    await this.#revocation.start();
    this.#interfaces = await this.#openInterfaces();
    this.#caGrpc = await this.#openCaGrpc();
    await this.#server.listen();
    this.#watch.start();
    this.#rotation.start();
    this.#caFollower = this.#followCa();
  }

  #followCa(): MaterialFollower | undefined {
    return followCa(readCaFlags(this.#options.caSettings), {
      ca: this.#ca,
      onAdopted: () => {
        this.#rotation.caReplaced();
        this.#interfaces?.bundles.signerChanged();
      },
      onRefused: (message) => this.#tell({ kind: "ca-rotation-problem", message }),
    });
  }

  async close(): Promise<void> {
    this.#watch.stop();
    this.#caFollower?.close();
    this.#rotation.close();
    this.#revocation.close();
    this.#keys.close();
    this.#caGrpc?.close();
    this.#access.close();
    await this.#interfaces?.close();
    await this.#flows.close(1000);
    this.#subscribers.clear();
    this.#server.close();
    this.#flowLog.close();
    await this.#replicas?.close();
    await this.#ca.close();
  }

  #makeAccess(): CaAccess {
    const { keys } = this.#options;
    return new CaAccess({
      configuration: this.#caAccess,
      trustDomain: this.#ca.trustDomain,
      ownTokens: tokenTrust(this.#state),
      livePods: () => liveHolders(this.#assignments),
      records: {
        issued: (filter) => this.#ca.store.issued(filter),
        cutoffOf: (spiffeId) => this.#ca.store.cutoffOf(spiffeId),
        audit: (record) => this.#ca.store.audit(record),
        // What a revoked intermediate signed proves nothing, whether or not it is on record.
        revocationOf: async (issuerKeyId, serial) =>
          this.#revocation.authorityRevocation(issuerKeyId) ??
          (await this.#ca.store.revocationOf(issuerKeyId, serial)),
      },
      oidcKeys: {
        file: join(this.#state.root, CA_ISSUER_KEYS_FILE),
        access: parseKeyAccess(keys?.allow ?? []),
        onProblem: warn,
        ...(keys?.refreshMs === undefined ? {} : { refreshMs: keys.refreshMs }),
      },
    });
  }

  #makeCertificateService(): CertificateService {
    const { authentication, nodeAgents, limits } = this.#access;
    return new CertificateService({
      ca: this.#ca,
      records: this.#ca.store,
      authentication,
      nodeAgents,
      limits,
      holders: () => this.#holders(),
      ttlSeconds: this.#options.certTtlSeconds,
      record: (draft) => this.#flows.push(draft),
      onIssued: (identity, pod, { serial, notAfter }) =>
        this.#tell({
          kind: "certificate",
          pod: pod === undefined ? identity : podKey(pod),
          identity,
          serial,
          notAfter: notAfter.toISOString(),
        }),
      onRefused: (code, message) => this.#tell({ kind: "certificate-refused", code, message }),
      onProblem: (error) => warn(`the CA's audit: ${error instanceof Error ? error.message : String(error)}`),
    });
  }

  async #openCaGrpc(): Promise<CaGrpcService | undefined> {
    const { listen, serverNames } = this.#caAccess;
    if (listen === undefined) return undefined;
    const { CaGrpcService } = await import("./ca-grpc/ca-grpc-service.ts");
    return CaGrpcService.open({
      ca: this.#ca,
      certificates: this.#certificates,
      listen,
      serverNames,
      onInternalError: (error) =>
        warn(`BUG: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    });
  }

  #openInterfaces(): Promise<IdentityInterfaces | undefined> {
    return IdentityInterfaces.open(this.#options.interfaces ?? {}, {
      state: this.#state,
      ca: this.#ca,
      certificates: this.#certificates,
      ttlSeconds: this.#options.certTtlSeconds,
      pods: () => this.#pods(),
      onFederatedRoots: () => this.#sessions.pushFederation(),
      onWarning: warn,
    });
  }

  #makeJwksService(): JwksService {
    const { simulateExternal, keys } = this.#options;
    return new JwksService({
      file: this.#state.issuerKeys,
      refreshMs: keys?.refreshMs ?? DEFAULT_REFRESH_MS,
      access: parseKeyAccess(keys?.allow ?? []),
      simulateExternal,
      standInCaPem: () => standInCa(this.#state),
      configuration: () => this.#keeper.current,
      onChanged: (id) => this.#sessions.pushKeys(id),
      onEvent: (event) => this.#tell(event),
    });
  }

  #makeServer(): ControlServer {
    const startedAt = new Date().toISOString();
    const methods = {
      keeper: this.#keeper,
      sessions: this.#sessions,
      rotation: this.#rotation,
      certificates: this.#certificates,
      flowLog: this.#flowLog,
      keys: this.#keys,
      subscribers: this.#subscribers,
      parts: new ListeningParts((event) => this.#tell(event)),
      revocation: this.#revocation.methods,
      sources: this.#options.sources,
      life: () => lifeOf(this.#state, startedAt),
    };
    return new ControlServer({
      socketPath: this.#state.controlSocket,
      ...(this.#options.substrate === "netns" ? { podSocketPath: podSocket(this.#state) } : {}),
      adminToken: readFileSync(this.#state.adminToken, "utf8").trim(),
      welcomeProxy: (peer, params) => this.#sessions.welcome(peer, params),
      refuseSign: (params) => this.#certificates.refuseUnnamed(textField(params, "token")),
      adminMethods: (peer) => adminMethods(peer, methods),
      onInternalError: (error) =>
        warn(`BUG: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    });
  }

  #rotationWentOn(rotation: Rotation | null, last: FinishedRotation | null): void {
    this.#tell({ kind: "ca-rotation", rotation, last });
    this.#interfaces?.bundles.signerChanged();
    auditRotation(this.#ca.store, rotation, last).catch((error: Error) =>
      warn(`the CA's audit: ${error.message}`),
    );
  }

  get #assignments(): Assignments {
    return this.#keeper.current?.assignments ?? NO_ASSIGNMENTS;
  }

  #pods(): readonly PodAssignment[] {
    return this.#assignments.pods;
  }

  /** All pods, and ztunnels. */
  #holders(): readonly SessionHolder[] {
    return [...this.#pods(), ...(this.#assignments.ztunnels ?? [])];
  }

  #tell(event: ControlEvent): void {
    for (const peer of this.#subscribers) peer.notify("event", event);
  }
}
