/**
 * Ambient mode, live: recorded connections through our own ztunnel to a real application, in clear by the kernel's redirection, and through HBONE. Each is made
 * twice: under Istio's semantics, which must agree, and under strict ones, which agree but where Istio fails open.
 */
import type { FlowDraft } from "../../src/model/flow-record.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import { compileAmbient, decideAmbient } from "../../src/policy/ambient/ambient-policy.ts";
import type { Semantics } from "../../src/policy/inbound.ts";
import { connectionTo, type RecordedAmbient, type RecordedAmbientDecision } from "./ambient.ts";
import type { CertificateForge } from "./live-certificates.ts";
import { exchange } from "./live-client.ts";
import { authorityOf } from "./live-proxy.ts";
import { Responder } from "./live-responder.ts";
import { tunnelled } from "./live-tunnel-client.ts";
import { LiveZtunnel } from "./live-ztunnel.ts";
import { loadCase } from "./load-case.ts";
import type { CorpusDecision, CorpusRunner } from "./runner.ts";

const TCP_BYTES = Buffer.from("PING\n");
const RECORD_TIMEOUT_MS = 10_000;
/** Name of what strict semantics refuse and Istio lets through. */
export const CLOSED_IN_STRICT = "closed-in-strict";

export const liveAmbientRunner: CorpusRunner = {
  corpus: "corpus-ambient",
  runCase: async (folder) => {
    const { mesh, requests, decisions } = await loadCase<RecordedAmbient, RecordedAmbientDecision>(folder);
    const pairs = requests.map((request, index) => {
      const recorded = decisions[index];
      if (recorded?.id !== request.id)
        throw new Error(`${folder}: decisions are not in the order of requests`);
      return { request, recorded };
    });
    const compared: CorpusDecision[] = [];
    for (const key of new Set(requests.map(({ to }) => to.workload)))
      for (const semantics of ["istio", "strict"] as const) {
        const target = await Target.start(mesh, key, semantics, requests);
        for (const { request, recorded } of pairs)
          if (request.to.workload === key) compared.push(await target.compare(request, recorded));
        await target.stop();
      }
    return compared;
  },
};

/** One pod, its ztunnel, and its application. */
class Target {
  readonly #mesh: Mesh;
  readonly #workload: Workload;
  readonly #semantics: Semantics;
  readonly #forge: CertificateForge;
  readonly #ztunnel: LiveZtunnel;
  readonly #behind: Responder;

  private constructor(
    mesh: Mesh,
    workload: Workload,
    semantics: Semantics,
    forge: CertificateForge,
    ztunnel: LiveZtunnel,
    behind: Responder,
  ) {
    this.#mesh = mesh;
    this.#workload = workload;
    this.#semantics = semantics;
    this.#forge = forge;
    this.#ztunnel = ztunnel;
    this.#behind = behind;
  }

  static async start(
    mesh: Mesh,
    key: string,
    semantics: Semantics,
    requests: readonly RecordedAmbient[],
  ): Promise<Target> {
    const workload = mesh.workloads.find((candidate) => candidate.key === key);
    if (workload === undefined) throw new Error(`no workload ${key}`);
    const { forge } = await authorityOf(mesh.config.trustDomain);
    const ztunnel = await LiveZtunnel.start(mesh, workload, semantics);
    const behind = new Responder();
    for (const { to } of requests) {
      if (to.workload !== key) continue;
      await behind.listen(ztunnel.address, to.port);
      await behind.listen(ztunnel.address6, to.port);
    }
    return new Target(mesh, workload, semantics, forge, ztunnel, behind);
  }

  async stop(): Promise<void> {
    await this.#ztunnel.stop();
    await this.#behind.close();
  }

  async compare(request: RecordedAmbient, recorded: RecordedAmbientDecision): Promise<CorpusDecision> {
    const { arrivals } = this.#behind;
    const { flows } = this.#ztunnel;
    arrivals.length = 0;
    flows.length = 0;
    const sent = await this.#send(request);
    const flow = await this.#record();
    const [arrival] = arrivals;
    return {
      id: this.#semantics === "istio" ? request.id : `${request.id}/strict`,
      ...(this.#isClosed(request, recorded) ? { difference: CLOSED_IN_STRICT } : {}),
      expected: {
        allowed: recorded.allowed,
        reason: recorded.reason,
        status: statusOf(request, recorded),
        named: true,
        records: 1,
        arrivals: recorded.allowed ? 1 : 0,
      },
      actual: {
        allowed: arrival !== undefined,
        reason: sent.timedOut ? "timeout" : reasonOf(flow),
        status: sent.status,
        named: isNamed(flow, recorded),
        records: flows.length,
        arrivals: arrivals.length,
      },
    };
  }

  async #send({ from, to }: RecordedAmbient): Promise<{ status: number; timedOut: boolean }> {
    const address = from.ip.includes(":") ? this.#ztunnel.address6 : this.#ztunnel.address;
    const dial = { from: from.ip, address, port: to.port };
    if (from.principal === null) {
      const { timedOut } = await exchange(dial, TCP_BYTES);
      return { status: 0, timedOut };
    }
    const context = this.#forge.context([`spiffe://${from.principal}`]);
    return tunnelled({ ...dial, context }, TCP_BYTES);
  }

  /** Some are written after the client has its answer. */
  async #record(): Promise<FlowDraft | undefined> {
    const { flows } = this.#ztunnel;
    const untilMs = performance.now() + RECORD_TIMEOUT_MS;
    while (flows.length === 0 && performance.now() < untilMs)
      await new Promise((resolve) => setTimeout(resolve, 1));
    return flows[0];
  }

  /** Asked of the compiled policy: what is refused live, and why, is the comparison's business. */
  #isClosed(request: RecordedAmbient, { allowed }: RecordedAmbientDecision): boolean {
    if (this.#semantics === "istio") return false;
    const policy = compileAmbient(this.#mesh, this.#workload, { semantics: "strict" });
    return allowed && !decideAmbient(policy, connectionTo(this.#workload, request)).allowed;
  }
}

/** What a real ztunnel answered to the CONNECT. */
function statusOf({ from }: RecordedAmbient, { allowed, reason }: RecordedAmbientDecision): number {
  if (from.principal === null || reason === "tls") return 0;
  return allowed ? 200 : 401;
}

/** Whether the record names one of the policies that ztunnel says decided, where one of the mesh's own did. */
function isNamed(flow: FlowDraft | undefined, { details }: RecordedAmbientDecision): boolean {
  const [, names] = /^(?:allow|explicitly denied by): (.*)$/.exec(details) ?? [];
  const isOfPeerAuthentication = flow?.policy?.startsWith("PeerAuthentication ") === true;
  if (names === undefined || isOfPeerAuthentication) return true;
  return names.split(", ").includes(flow?.policy?.replace("AuthorizationPolicy ", "") ?? "");
}

function reasonOf(flow: FlowDraft | undefined): string {
  if (flow === undefined) return "nothing recorded";
  if (flow.verdict === "allow") return "ok";
  // PeerAuthentication is rules to ztunnel.
  if (flow.layer === "authorization" || flow.reason === "plaintext-refused") return "rbac";
  return flow.kind === "handshake" ? "tls" : (flow.layer ?? "");
}
