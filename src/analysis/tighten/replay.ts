/** Every record once more, by the policies that are proposed: what is let through today, as far as the record tells, has to be let through then. */
import type { Mesh } from "../../model/mesh.ts";
import { decide } from "../../policy/decide.ts";
import { isHttp1Method } from "../../policy/http-request.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { findService, meshDirectory } from "../../policy/path/compiled-policies.ts";
import type { Decision } from "../../policy/path/decision.ts";
import { type ClientFlow, type ServerFlow, subjectOf } from "./flow-reading.ts";
import { Subjects } from "./subjects.ts";

export interface ReplayResult {
  /** Records that were judged by the servers' own policies, each. */
  readonly records: number;
  /** Of these, those that hang on what no record tells (tokens, headers): today's conditions on that are unchanged. */
  readonly uncertain: number;
  /** Different requests among them that `can` decided, over all layers. */
  readonly decided: number;
  /** Requests that would be refused: none, or nothing may be applied. */
  readonly refused: readonly string[];
}

/** So many different requests are decided as `can` does; the servers' own policies judge all. */
const MAX_DECIDED = 5_000;
const MAX_REFUSED = 20;

export class Replay {
  readonly #before: Mesh;
  readonly #after: Mesh;
  readonly #semantics: Semantics;
  readonly #old: Subjects;
  readonly #now: Subjects;
  readonly #distinct = new Map<string, AccessRequest>();
  readonly #dialled = new Map<string, AccessRequest>();
  readonly #refused: string[] = [];
  #records = 0;
  #uncertain = 0;

  readonly #unwanted: ReadonlySet<number>;

  /** @param unwanted statuses whose requests are no evidence, and may be refused. */
  constructor(before: Mesh, after: Mesh, semantics: Semantics, unwanted: ReadonlySet<number> = new Set()) {
    this.#unwanted = unwanted;
    this.#before = before;
    this.#after = after;
    this.#semantics = semantics;
    this.#old = new Subjects(before, semantics);
    this.#now = new Subjects(after, semantics);
  }

  add(flow: ServerFlow): void {
    if (this.#unwanted.has(flow.http?.status ?? 0)) return;
    const now = this.#now.see(flow);
    if (now === undefined || now.record.judgement === "refused") {
      this.#addRefused(flow);
      return;
    }
    // Strangers are granted nothing; what is open to them is not of this making.
    if (!now.isKnown) return;
    this.#records++;
    const { isCertain, request, flow: own } = now.record;
    if (!isCertain) {
      this.#uncertain++;
      return;
    }
    if (this.#distinct.size >= MAX_DECIDED) return;
    const key = `${subjectOf(own)} ${own.port} ${own.caller.principal} ${own.http?.method} ${request?.pathOnly}`;
    if (this.#distinct.has(key)) return;
    // By a waypoint goes who is sent there by a proxy of its own.
    if (own.service === undefined || now.caller !== undefined)
      this.#distinct.set(key, requestOf(own, now.caller));
  }

  /** Of those that clients sent out: Sidecars, routes and network policies have a say on the way. */
  addClient(flow: ClientFlow): void {
    const { workload, host, port, protocol } = flow;
    const key = `${workload} ${host} ${port} ${protocol}`;
    if (this.#dialled.size >= MAX_DECIDED || this.#dialled.has(key)) return;
    const request = dialledRequest(this.#before, flow);
    if (request !== undefined) this.#dialled.set(key, request);
  }

  /** What today's policies refuse as well, or do not know the caller of, was never granted. */
  #addRefused(flow: ServerFlow): void {
    const old = this.#old.see(flow);
    if (old === undefined || !old.isKnown || old.record.judgement === "refused") return;
    this.#records++;
    this.#refuse(requestOf(old.record.flow, old.caller));
  }

  #refuse(request: AccessRequest): void {
    if (this.#refused.length < MAX_REFUSED) this.#refused.push(JSON.stringify(request));
  }

  async finish(): Promise<ReplayResult> {
    const options = { semantics: this.#semantics, compareModes: false };
    for (const request of this.#distinct.values()) {
      const { allowed } = await decide(this.#after, request, options);
      if (allowed) continue;
      // What something else refuses today as well (a network policy, a gateway's server) is none of this change's doing.
      if ((await decide(this.#before, request, options)).allowed) this.#refuse(request);
    }
    for (const request of this.#dialled.values()) {
      if (!isHeldBack(await decide(this.#after, request, options))) continue;
      if (!isHeldBack(await decide(this.#before, request, options))) this.#refuse(request);
    }
    return {
      records: this.#records,
      uncertain: this.#uncertain,
      decided: this.#distinct.size + this.#dialled.size,
      refused: this.#refused,
    };
  }
}

/** What a client dialled, as a question of the whole way; undefined where the mesh does not have it. */
export function dialledRequest(
  mesh: Mesh,
  { workload, host, port, protocol }: ClientFlow,
): AccessRequest | undefined {
  const from = meshDirectory(mesh).workloads.get(workload);
  if (from === undefined) return undefined;
  // DNS knows short names; what is dialled is where they lead.
  const service = findService(meshDirectory(mesh), host, from.namespace);
  return {
    from: { workload },
    to: { host: service?.hostname ?? host, port },
    protocol,
    ...(protocol === "http" ? { method: "GET", path: "/", host } : {}),
    ...(protocol === "tls" ? { sni: host } : {}),
  };
}

/** On the client's side, by its proxy or its network policies: whether the server lets it in is told by the server's own records. */
export function isHeldBack({ allowed, hops }: Decision): boolean {
  if (allowed) return false;
  const last = hops.find((hop) => !hop.allowed);
  return last?.side === "client";
}

/** @param client the workload that sent it, where its identity is one workload's alone: network policies look at its pods. */
function requestOf(flow: ServerFlow, client?: string): AccessRequest {
  const { workload, service, port, caller, http, sni, isOpaque } = flow;
  const speaksHttp = http !== null || !isOpaque;
  const ip = caller.ip === undefined ? {} : { ip: caller.ip };
  return {
    from:
      service === undefined || client === undefined
        ? {
            ...(client === undefined ? {} : { workload: client }),
            principal: caller.principal,
            ...ip,
            alpn: speaksHttp ? ["istio-http/1.1", "istio"] : ["istio"],
          }
        : { workload: client, ...ip },
    to: service === undefined ? { workload, port } : { service, port },
    protocol: http === null ? "tcp" : isHttp1Method(http.method) ? "http" : "grpc",
    ...(sni === undefined ? {} : { sni }),
    ...(http === null ? {} : { method: http.method, path: http.path, host: service ?? "host.example" }),
  };
}
