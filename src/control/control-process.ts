import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { openCa } from "../identity/ca.ts";
import { DEFAULT_TOKEN_ISSUER } from "../identity/service-account-token.ts";
import type { FlowDraft } from "../model/flow-record.ts";
import { parseTrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { podKey } from "../substrate/assignment.ts";
import { loopbackSubstrate } from "../substrate/loopback.ts";
import { STAND_IN_CA_FILE } from "../substrate/stand-in-authority.ts";
import { FlowBuffer } from "../telemetry/flow-buffer.ts";
import { adminMethods } from "./admin-methods.ts";
import { CA_REPORTER, CertificateService } from "./certificate-service.ts";
import { liveAsChild, warn } from "./child-life.ts";
import { ConfigurationKeeper } from "./configuration-keeper.ts";
import { ConfigurationWatch } from "./configuration-watch.ts";
import { ControlServer } from "./control-server.ts";
import { FlowLog } from "./flow-log.ts";
import type { ControlEvent } from "./messages.ts";
import { ProxySessions } from "./proxy-sessions.ts";
import type { RpcPeer } from "./rpc.ts";
import { type StateFolder, stateFolderAt } from "./state-folder.ts";

export interface ControlProcessOptions {
  readonly statePath: string;
  readonly sources: readonly string[];
  /** 0: the CA's default, 24 h. */
  readonly certTtlSeconds: number;
  readonly simulateExternal: boolean;
}

/** Public keys of the token issuer, in the token folder: the CA checks tokens without being able to make them. */
export const TOKEN_KEYS_FILE = "jwks.json";

/** Runs the control plane of a mesh whose first configuration `up` has put into the state folder. */
export async function runControlProcess(options: ControlProcessOptions): Promise<void> {
  const state = stateFolderAt(options.statePath);
  const control = await ControlPlane.open(state, options);
  liveAsChild(state, () => control.close());
  await control.serve();
}

/** Everything that the control plane of one mesh consists of, wired together. */
export class ControlPlane {
  readonly #subscribers: Set<RpcPeer>;
  readonly #server: ControlServer;
  readonly #watch: ConfigurationWatch;
  readonly #flows: FlowBuffer;
  readonly #flowLog: FlowLog;
  readonly #closeCa: () => Promise<void>;

  static async open(state: StateFolder, options: ControlProcessOptions): Promise<ControlPlane> {
    const keeper = new ConfigurationKeeper(
      state,
      loopbackSubstrate({ simulateExternal: options.simulateExternal, fresh: false }),
    );
    const trustDomain = parseTrustDomain(keeper.current?.mesh.config.trustDomain ?? "cluster.local");
    if (trustDomain === undefined)
      throw new BulwarkError("BW_TRUST_DOMAIN_INVALID", "the mesh's trustDomain is not a proper name");
    const ca = await openCa(state.root, { trustDomain });
    return new ControlPlane(state, options, keeper, ca);
  }

  constructor(
    state: StateFolder,
    options: ControlProcessOptions,
    keeper: ConfigurationKeeper,
    ca: Awaited<ReturnType<typeof openCa>>,
  ) {
    const subscribers = new Set<RpcPeer>();
    const onEvent = (event: ControlEvent) => {
      for (const peer of subscribers) peer.notify("event", event);
    };
    const onWarning = (message: string) => {
      warn(message);
      onEvent({ kind: "warning", message });
    };
    const flowLog = new FlowLog(state.flowLog, {
      onWarning,
      onHealth: (ok, message) => onEvent({ kind: "flow-log", ok, message }),
    });
    const flows = new FlowBuffer({
      reporter: CA_REPORTER,
      spillDir: join(state.root, "spill", "control"),
      send: async ({ text }) => flowLog.insertLines(text, { reporter: CA_REPORTER }),
    });
    const pods = () => keeper.current?.assignments.pods ?? [];
    const certificates = new CertificateService({
      ca,
      trust: tokenTrust(state),
      pods,
      ttlSeconds: options.certTtlSeconds,
      record: (draft: FlowDraft) => flows.push(draft),
      onIssued: (pod, serial, notAfter) =>
        onEvent({
          kind: "certificate",
          pod: podKey(pod),
          identity: pod.spiffeId,
          serial,
          notAfter: notAfter.toISOString(),
        }),
      onRefused: (code, message) => onEvent({ kind: "certificate-refused", code, message }),
    });
    const sessions = new ProxySessions({
      certificates,
      flowLog,
      configuration: () => keeper.push(),
      pods,
      externalCaPem: () => (options.simulateExternal ? standInCa(state) : null),
      onEvent,
    });
    const methods = {
      keeper,
      sessions,
      certificates,
      flowLog,
      subscribers,
      sources: options.sources,
      startedAt: new Date().toISOString(),
    };
    this.#subscribers = subscribers;
    this.#flowLog = flowLog;
    this.#flows = flows;
    this.#closeCa = () => ca.close();
    this.#watch = new ConfigurationWatch({
      sources: options.sources,
      keeper,
      onEvent,
      onAccepted: () => sessions.pushAll(),
    });
    this.#server = new ControlServer({
      socketPath: state.controlSocket,
      adminToken: readFileSync(state.adminToken, "utf8").trim(),
      welcomeProxy: (peer, params) => sessions.welcome(peer, params),
      adminMethods: (peer) => adminMethods(peer, methods),
      onInternalError: (error) =>
        onWarning(`BUG: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    });
  }

  async serve(): Promise<void> {
    await this.#server.listen();
    this.#watch.start();
  }

  async close(): Promise<void> {
    this.#watch.stop();
    await this.#flows.close(1000);
    this.#subscribers.clear();
    this.#server.close();
    this.#flowLog.close();
    await this.#closeCa();
  }
}

function tokenTrust(state: StateFolder) {
  const jwks = JSON.parse(readFileSync(join(state.tokenFolder, TOKEN_KEYS_FILE), "utf8")) as JSONWebKeySet;
  return { keys: createLocalJWKSet(jwks), issuer: DEFAULT_TOKEN_ISSUER, clock: Date.now };
}

/** The stand-ins' process makes it at its start; until it is there proxies trust only the system's roots. */
function standInCa(state: StateFolder): string | null {
  try {
    return readFileSync(join(state.standInFolder, STAND_IN_CA_FILE), "utf8");
  } catch {
    return null;
  }
}
