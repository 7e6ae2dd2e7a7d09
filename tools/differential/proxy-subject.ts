/** The product's own proxy, live. */
import type { FlowDraft } from "../../src/model/flow-record.ts";
import { LiveProxy } from "../corpus/live-proxy.ts";
import type { Application } from "./application.ts";
import { CASE_PORTS, type CaseMesh } from "./materialize.ts";
import type { ConnectionRecord, RequestRecord } from "./proxied.ts";
import { connectionKey } from "./wire.ts";

/** Where the workload is, mesh after mesh. */
const ADDRESS = "10.21.0.1";

export class ProxySubject {
  readonly #application: Application;
  #proxy: LiveProxy | undefined;

  constructor(application: Application) {
    this.#application = application;
  }

  async serve(meshAt: (address: string) => CaseMesh): Promise<{ address: string } & CaseMesh> {
    await this.stop();
    const served = meshAt(ADDRESS);
    const behind = { host: "127.0.0.1", port: this.#application.port };
    // A gateway has none: it sends on what its routes say.
    const ports = served.workload.role === "gateway" ? [] : CASE_PORTS;
    const application = new Map(ports.map((port) => [port, behind]));
    this.#proxy = await LiveProxy.start(served.mesh, served.workload, { application });
    return { address: ADDRESS, ...served };
  }

  records(): Map<string, ConnectionRecord> {
    const records = new Map<
      string,
      { requests: RequestRecord[]; connection: ConnectionRecord["connection"] }
    >();
    for (const flow of this.#proxy?.flows ?? []) {
      const { source, destination } = flow;
      const peer = connectionKey(source?.ip ?? "", source?.port ?? 0, destination?.port ?? 0);
      const record = records.get(peer) ?? { requests: [], connection: undefined };
      records.set(peer, record);
      if (flow.kind === "request") record.requests.push({ reason: reasonOf(flow), rule: ruleOf(flow) });
      else if (flow.kind === "connection" || flow.verdict !== "allow")
        record.connection = connectionRecord(flow);
    }
    return records;
  }

  forget(): void {
    if (this.#proxy !== undefined) this.#proxy.flows.length = 0;
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    this.#proxy = undefined;
  }
}

function connectionRecord(flow: FlowDraft): ConnectionRecord["connection"] {
  return { refusal: flow.verdict === "allow" ? null : reasonOf(flow), rule: ruleOf(flow) };
}

/** What a gateway sends on is recorded with its route. */
function ruleOf({ policy, rule }: FlowDraft): string | null | undefined {
  if (policy?.startsWith("VirtualService ") === true) return undefined;
  return policy === undefined || policy === null || rule === undefined || rule === null
    ? null
    : `${policy.split(" ")[1]}#${rule}`;
}

const ASKED: ReadonlySet<string> = new Set(["ext-authz-denied", "ext-authz-failed", "body-too-large"]);

/** A record's layer and reason in the words of the recorded corpora. */
function reasonOf({ layer, reason }: FlowDraft): string {
  switch (layer) {
    case "authorization":
      return "rbac";
    case "ext-authz":
      // What nobody was asked about is RBAC's doing in Envoy.
      return ASKED.has(reason ?? "") ? layer : "rbac";
    case "protocol":
      return "bad-request";
    case "transport":
      return reason === "no-chain" || reason === "bad-request" ? reason : "tls";
    default:
      return layer ?? `unknown: ${reason}`;
  }
}
