import { setTimeout as delay } from "node:timers/promises";
import type { Mesh } from "../model/mesh.ts";
import {
  type PodAssignment,
  podKey,
  type SessionHolder,
  type ZtunnelAssignment,
} from "../substrate/assignment.ts";
import type { CertificateService } from "./certificate-service.ts";
import type { FlowLog } from "./flow-log.ts";
import type { JwksService } from "./jwks/jwks-service.ts";
import {
  type CertificateStatus,
  type ConfigurationPush,
  type ControlEvent,
  type FederatedRoots,
  fieldsOf,
  type PodConfigurationPush,
  type ProxyReport,
  type ProxyWelcome,
  textField,
  type ZtunnelWelcome,
} from "./messages.ts";
import { resourcesFor } from "./pod-resources.ts";
import { ProxySession } from "./proxy-session.ts";
import type { CertificateInUse } from "./revocation/ca-alerts.ts";
import type { RevocationAnswer, RevocationUpdate } from "./revocation/messages.ts";
import type { PushOutcome } from "./revocation/revocation-service.ts";
import type { RpcHandler, RpcPeer } from "./rpc.ts";
import { takeFlows } from "./take-flows.ts";
import { ZtunnelSide } from "./ztunnel/ztunnel-side.ts";

export interface ProxySessionsOptions {
  readonly certificates: CertificateService;
  readonly flowLog: FlowLog;
  readonly configuration: () => ConfigurationPush | undefined;
  /** The mesh of that configuration: says which Secrets a pod's proxy needs. */
  readonly mesh: () => Mesh | undefined;
  readonly pods: () => readonly PodAssignment[];
  readonly ztunnels: () => readonly ZtunnelAssignment[];
  /** An ambient pod's token, as it is now. */
  readonly tokenOf: (pod: PodAssignment) => string;
  readonly keys: Pick<JwksService, "keysFor" | "refetch">;
  readonly externalCaPem: () => string | null;
  readonly federation: () => readonly FederatedRoots[];
  readonly onEvent: (event: ControlEvent) => void;
  /** Has a proxy follow the CA, before anything else that it is told. */
  readonly follow: (pod: string, peer: RpcPeer) => void;
  /** All that is revoked. */
  readonly revocations: () => RevocationUpdate;
}

/** What a session is sent, and may ask. */
interface SessionMethods {
  readonly partOf: (push: ConfigurationPush) => ConfigurationPush;
  readonly handlers: Readonly<Record<string, RpcHandler>> & { readonly sign: RpcHandler };
}

/** The end of a proxy that was killed may stand unread behind its successor's hello. */
const END_UNREAD_MS = 100;
/** How long who revokes waits for a proxy to confirm; one that takes longer still acts on it when it can. */
const CONFIRM_TIMEOUT_MS = 5000;
/** Serials of certificates that proxies use or have used: a few dozen bytes each. */
const MAX_EVER_USED = 100_000;

/**
 * The connected proxies and ztunnels: each has shown a token, is sent every configuration in order, and reports for its own workload, or the pods of its own
 * node, only.
 */
export class ProxySessions {
  readonly #options: ProxySessionsOptions;
  readonly #sessions = new Map<string, ProxySession>();
  readonly #everUsed = new Set<string>();

  constructor(options: ProxySessionsOptions) {
    this.#options = options;
  }

  /** The session of a pod or ztunnel (`namespace/name`), while it is connected. */
  of(key: string): Readonly<Pick<ProxySession, "acknowledgedVersion" | "refusal" | "report">> | undefined {
    return this.#sessions.get(key);
  }

  /** Sends the newest configuration to all; one that is still busy with an older gets it after. */
  pushAll(): void {
    for (const session of this.#sessions.values()) void session.push();
  }

  /** Tells all that need it of other keys. */
  pushKeys(id: string): void {
    for (const { holder, peer } of this.#sessions.values()) {
      const keys = this.#options.keys.keysFor(holder).filter((key) => key.id === id);
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
    return [...this.#sessions].flatMap(([pod, { holder, report }]) =>
      certificatesOf(holder.spiffeId, report).map(([identity, certificate]) => ({
        pod,
        identity,
        certificate,
      })),
    );
  }

  /**
   * `hello` of a proxy, or of a ztunnel. While a holder's first connection lives it is the proxy: who has come by its token may ask for the
   * pod's certificate, which is all that a token is worth, but not take its place.
   * @throws {BulwarkError} BW_TOKEN_…, BW_SESSION_TAKEN, BW_SESSION_NO_PROXY
   */
  async welcome(peer: RpcPeer, params: unknown): Promise<ProxyWelcome | ZtunnelWelcome> {
    const holder = await this.#options.certificates.authenticate(textField(params, "token"));
    const ztunnel = this.#options.ztunnels().find(({ uid }) => uid === holder.uid);
    const pod = this.#options.pods().find(({ uid }) => uid === holder.uid);
    if (ztunnel !== undefined) {
      await this.#admit(holder, peer, (session) => this.#ztunnelMethods(session, ztunnel));
      return { ztunnel, ...this.#common() };
    }
    if (pod?.proxied !== true) throw await this.#options.certificates.refuseWithoutProxy(holder);
    await this.#admit(holder, peer, (session) => this.#proxyMethods(session));
    return { pod, externalCaPem: this.#options.externalCaPem(), ...this.#common() };
  }

  /** INVARIANT: read after the session stands in the map: what is revoked later is pushed to it, and nothing falls in between. */
  #common(): Pick<ProxyWelcome, "federation" | "revocations"> {
    const revocations = this.#options.revocations();
    return { federation: this.#options.federation(), revocations };
  }

  async #admit(
    holder: SessionHolder,
    peer: RpcPeer,
    methodsOf: (session: ProxySession) => SessionMethods,
  ): Promise<void> {
    const key = podKey(holder);
    const { onEvent, configuration, follow, certificates } = this.#options;
    const methods = new Map<ProxySession, SessionMethods>();
    const session: ProxySession = new ProxySession(holder, peer, {
      configuration,
      partOf: (push) => methods.get(session)?.partOf(push) ?? push,
      onApplied: (pod, version) => onEvent({ kind: "proxy-applied", pod, version }),
      onRefused: (pod, version, why) => onEvent({ kind: "proxy-refused", pod, version, why }),
    });
    const own = methodsOf(session);
    methods.set(session, own);
    const first = this.#sessions.get(key);
    if (first !== undefined && !(await isOver(first, holder)) && this.#sessions.has(key)) {
      peer.setHandlers({ sign: own.handlers.sign });
      throw await certificates.refuseSession(holder);
    }
    this.#sessions.get(key)?.peer.close();
    this.#sessions.set(key, session);
    peer.setHandlers(own.handlers);
    onEvent({ kind: "proxy-connected", pod: key });
    void peer.closed.then(() => this.#gone(key, session));
    setImmediate(() => {
      follow(key, peer);
      void session.push();
    });
  }

  #proxyMethods(session: ProxySession): SessionMethods {
    const { certificates, flowLog, keys } = this.#options;
    const { holder } = session;
    return {
      partOf: (push) => this.#forPod(push, session.key),
      handlers: {
        sign: async (params) => {
          const csr = Buffer.from(textField(params, "csr"), "base64");
          const answer = await certificates.sign(textField(params, "token"), csr, holder);
          // Asked for on the proxy's own connection, which nobody else has: its own, also where the answer is lost.
          if (this.#sessions.get(session.key) === session) this.#noteUsed(answer.serial);
          return answer;
        },
        refetchKeys: (params) => keys.refetch(holder, textField(params, "id")),
        flows: (params) => takeFlows(flowLog, params, { reporter: holder.workload }),
        stats: (params) => this.#takeReport(session, params),
      },
    };
  }

  #ztunnelMethods(session: ProxySession, ztunnel: ZtunnelAssignment): SessionMethods {
    const side = new ZtunnelSide(ztunnel, this.#options);
    return {
      partOf: (push) => side.partOf(push),
      handlers: {
        sign: async (params) => {
          const answer = await side.sign(params);
          if (this.#sessions.get(session.key) === session) this.#noteUsed(answer.serial);
          return answer;
        },
        flows: (params) => side.flows(params),
        stats: (params) => this.#takeReport(session, params),
      },
    };
  }

  #takeReport(session: ProxySession, params: unknown): void {
    session.report = fieldsOf(params) as unknown as ProxyReport;
    for (const [, { serial }] of certificatesOf("", session.report)) this.#noteUsed(serial);
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

  #forPod(push: ConfigurationPush, pod: string): PodConfigurationPush {
    const assignment = this.#options.pods().find((candidate) => podKey(candidate) === pod);
    return {
      ...push,
      resources: resourcesFor(push.resources, this.#options.mesh(), assignment?.workload ?? ""),
      applicationPorts: assignment?.applicationPorts ?? [],
      keys: assignment === undefined ? [] : this.#options.keys.keysFor(assignment),
    };
  }
}

/** By identity. */
function certificatesOf(
  own: string,
  report: ProxyReport | undefined,
): readonly (readonly [identity: string, certificate: CertificateStatus])[] {
  const certificate = report?.certificate ?? undefined;
  return [
    ...(certificate === undefined ? [] : [[own, certificate] as const]),
    ...Object.entries(report?.certificates ?? {}),
  ];
}

/** Whether a session belongs to a pod of before, or turns out to have ended. */
async function isOver(session: ProxySession, { uid }: SessionHolder): Promise<boolean> {
  if (session.holder.uid !== uid) return true;
  return Promise.race([session.peer.closed.then(() => true), delay(END_UNREAD_MS, false)]);
}
