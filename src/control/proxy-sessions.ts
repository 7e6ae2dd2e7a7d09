import { setTimeout as delay } from "node:timers/promises";
import type { Mesh } from "../model/mesh.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type PodAssignment, podKey } from "../substrate/assignment.ts";
import type { CertificateService } from "./certificate-service.ts";
import type { FlowLog } from "./flow-log.ts";
import type { JwksService } from "./jwks/jwks-service.ts";
import {
  type ConfigurationPush,
  type ControlEvent,
  type FederatedRoots,
  fieldsOf,
  listField,
  type PodConfigurationPush,
  type ProxyReport,
  type ProxyWelcome,
  textField,
} from "./messages.ts";
import { resourcesFor } from "./pod-resources.ts";
import type { CertificateInUse } from "./revocation/ca-alerts.ts";
import type { RevocationAnswer, RevocationUpdate } from "./revocation/messages.ts";
import type { PushOutcome } from "./revocation/revocation-service.ts";
import type { RpcHandler, RpcPeer } from "./rpc.ts";

export interface ProxySessionsOptions {
  readonly certificates: CertificateService;
  readonly flowLog: FlowLog;
  readonly configuration: () => ConfigurationPush | undefined;
  /** The mesh of that configuration: says which Secrets a pod's proxy needs. */
  readonly mesh: () => Mesh | undefined;
  readonly pods: () => readonly PodAssignment[];
  readonly keys: Pick<JwksService, "keysFor" | "refetch">;
  readonly externalCaPem: () => string | null;
  readonly federation: () => readonly FederatedRoots[];
  readonly onEvent: (event: ControlEvent) => void;
  /** Has a proxy follow the CA, before anything else that it is told. */
  readonly follow: (pod: string, peer: RpcPeer) => void;
  /** All that is revoked. */
  readonly revocations: () => RevocationUpdate;
}

/** The end of a proxy that was killed may stand unread behind its successor's hello. */
const END_UNREAD_MS = 100;
/** How long a proxy may take over a configuration before it is sent again. */
const PUSH_TIMEOUT_MS = 30_000;
/** How long who revokes waits for a proxy to confirm; one that takes longer still acts on it when it can. */
const CONFIRM_TIMEOUT_MS = 5000;
/** Serials of certificates that proxies use or have used: a few dozen bytes each. */
const MAX_EVER_USED = 100_000;
const RETRY_PUSH_MS = 1000;

class ProxySession {
  readonly pod: PodAssignment;
  readonly peer: RpcPeer;
  acknowledgedVersion = 0;
  refusal: string | undefined;
  report: ProxyReport | undefined;
  pushing = false;

  constructor(pod: PodAssignment, peer: RpcPeer) {
    this.pod = pod;
    this.peer = peer;
  }
}

/** The connected proxies: each has shown a token, is sent every configuration in order, and reports for its own workload only. */
export class ProxySessions {
  readonly #options: ProxySessionsOptions;
  readonly #sessions = new Map<string, ProxySession>();
  readonly #everUsed = new Set<string>();

  constructor(options: ProxySessionsOptions) {
    this.#options = options;
  }

  /** The session of a pod, while it is connected. */
  of(pod: string): Readonly<Pick<ProxySession, "acknowledgedVersion" | "refusal" | "report">> | undefined {
    return this.#sessions.get(pod);
  }

  /** Sends the newest configuration to all; one that is still busy with an older gets it after. */
  pushAll(): void {
    for (const session of this.#sessions.values()) void this.#push(session);
  }

  /** Tells all that need it of other keys. */
  pushKeys(id: string): void {
    for (const { pod, peer } of this.#sessions.values()) {
      const keys = this.#options.keys.keysFor(pod).filter((key) => key.id === id);
      if (keys.length > 0) peer.notify("keys", { keys });
    }
  }

  /** Tells all of other roots of federated trust domains. */
  pushFederation(): void {
    const domains = this.#options.federation();
    for (const { peer } of this.#sessions.values()) peer.notify("federation", { domains });
  }

  /** Tells every connected proxy what was revoked, all at once. Never rejects. */
  async pushRevocations(update: RevocationUpdate): Promise<PushOutcome> {
    const text = JSON.stringify(update);
    const answers = await Promise.all(
      [...this.#sessions.values()].map(({ peer }) =>
        peer.requestJson("revoked", text, CONFIRM_TIMEOUT_MS).then(
          (answer) => answer as RevocationAnswer,
          () => undefined,
        ),
      ),
    );
    const confirmed = answers.filter((answer) => answer !== undefined);
    const cut = confirmed.reduce((sum, answer) => sum + answer.cut, 0);
    return { told: answers.length, confirmed: confirmed.length, cut };
  }

  /** Serials of the certificates that proxies have asked for on their own connection, or have said they use. */
  get everUsed(): ReadonlySet<string> {
    return this.#everUsed;
  }

  /** What the connected proxies say that they use now. */
  certificatesInUse(): readonly CertificateInUse[] {
    return [...this.#sessions].flatMap(([pod, session]) => {
      const certificate = session.report?.certificate ?? null;
      return certificate === null ? [] : [{ pod, identity: session.pod.spiffeId, certificate }];
    });
  }

  /**
   * `hello` of a proxy. While a pod's first connection lives it is the proxy: who has come by the pod's token may ask for the
   * pod's certificate, which is all that a token is worth, but not take its place.
   * @throws {BulwarkError} BW_TOKEN_…, BW_SESSION_TAKEN
   */
  async welcome(peer: RpcPeer, params: unknown): Promise<ProxyWelcome> {
    const pod = await this.#options.certificates.authenticate(textField(params, "token"));
    const key = podKey(pod);
    const session = new ProxySession(pod, peer);
    const methods = this.#methods(session);
    const first = this.#sessions.get(key);
    if (first !== undefined && !(await isOver(first, pod)) && this.#sessions.has(key)) {
      peer.setHandlers({ sign: methods.sign });
      throw await this.#options.certificates.refuseSession(pod);
    }
    this.#sessions.get(key)?.peer.close();
    this.#sessions.set(key, session);
    peer.setHandlers(methods);
    this.#options.onEvent({ kind: "proxy-connected", pod: key });
    void peer.closed.then(() => this.#gone(key, session));
    setImmediate(() => {
      this.#options.follow(key, peer);
      void this.#push(session);
    });
    // INVARIANT: read after the session stands in the map: what is revoked later is pushed to it, and nothing falls in between.
    const revocations = this.#options.revocations();
    const { externalCaPem, federation } = this.#options;
    return { pod, externalCaPem: externalCaPem(), federation: federation(), revocations };
  }

  #methods(session: ProxySession): Readonly<Record<string, RpcHandler>> & { readonly sign: RpcHandler } {
    const { certificates, flowLog } = this.#options;
    return {
      sign: async (params) => {
        const csr = Buffer.from(textField(params, "csr"), "base64");
        const answer = await certificates.sign(textField(params, "token"), csr, session.pod);
        // Asked for on the proxy's own connection, which nobody else has: its own, also where the answer is lost.
        if (this.#sessions.get(podKey(session.pod)) === session) this.#noteUsed(answer.serial);
        return answer;
      },
      refetchKeys: (params) => this.#options.keys.refetch(session.pod, textField(params, "id")),
      flows: (params) => takeFlows(flowLog, params, session.pod.workload),
      stats: (params) => {
        session.report = fieldsOf(params) as unknown as ProxyReport;
        this.#noteUsed(session.report.certificate?.serial);
      },
    };
  }

  #noteUsed(serial: string | undefined): void {
    if (serial === undefined || this.#everUsed.has(serial)) return;
    const [oldest] = this.#everUsed;
    if (this.#everUsed.size >= MAX_EVER_USED && oldest !== undefined) this.#everUsed.delete(oldest);
    this.#everUsed.add(serial);
  }

  #gone(key: string, session: ProxySession): void {
    if (this.#sessions.get(key) !== session) return;
    this.#sessions.delete(key);
    this.#options.onEvent({ kind: "proxy-gone", pod: key });
  }

  async #push(session: ProxySession): Promise<void> {
    if (session.pushing) return;
    session.pushing = true;
    const pod = podKey(session.pod);
    let sent = 0;
    try {
      // Whatever came while one was under way is skipped but for the newest.
      for (
        let push = this.#options.configuration();
        push !== undefined && push.version > sent;
        push = this.#options.configuration()
      ) {
        const { version } = push;
        sent = version;
        await session.peer.request("configure", this.#forPod(push, pod), PUSH_TIMEOUT_MS);
        session.acknowledgedVersion = version;
        session.refusal = undefined;
        this.#options.onEvent({ kind: "proxy-applied", pod, version });
      }
    } catch (error) {
      this.#pushFailed(session, sent, error);
    } finally {
      session.pushing = false;
    }
  }

  #forPod(push: ConfigurationPush, pod: string): PodConfigurationPush {
    const assignment = this.#options.pods().find((candidate) => podKey(candidate) === pod);
    return {
      ...push,
      resources: resourcesFor(push.resources, this.#options.mesh(), assignment?.workload ?? ""),
      applicationPorts: assignment?.applicationPorts ?? [],
      keys: assignment === undefined ? [] : this.#options.keys.keysFor(assignment),
    };
  }

  #pushFailed(session: ProxySession, version: number, error: unknown): void {
    if (error instanceof BulwarkError && error.code === "BW_RPC_CLOSED") return;
    session.refusal = error instanceof Error ? error.message : String(error);
    this.#options.onEvent({ kind: "proxy-refused", pod: podKey(session.pod), version, why: session.refusal });
    setTimeout(() => void this.#push(session), RETRY_PUSH_MS).unref();
  }
}

/** Batches, or records that had waited on disk. */
function takeFlows(flowLog: FlowLog, params: unknown, reporter: string): void {
  if ("batches" in fieldsOf(params))
    flowLog.insertBatches(
      listField(params, "batches").map((batch) => Buffer.from(String(batch), "base64")),
      { reporter },
    );
  else flowLog.insert(listField(params, "records"), { reporter });
}

/** Whether a session belongs to a pod of before, or turns out to have ended. */
async function isOver(session: ProxySession, pod: PodAssignment): Promise<boolean> {
  if (session.pod.uid !== pod.uid) return true;
  return Promise.race([session.peer.closed.then(() => true), delay(END_UNREAD_MS, false)]);
}
