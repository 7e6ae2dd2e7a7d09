/**
 * Who may reach a workload, and whom it may reach: the same decisions as for one request, for every pair. Nothing is explained and no
 * other semantics is asked, which is what makes ten thousand pairs take a second.
 */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import type { ServiceTarget } from "../port-protocol.ts";
import { compilePortProtocols, serviceTargets } from "../port-protocol.ts";
import type { AccessDestination, AccessSource } from "./access-request.ts";
import { meshDirectory } from "./compiled-policies.ts";
import type { HopVerdict } from "./decision.ts";
import { decideWays, outcomeOf, type Way } from "./follow.ts";
import type { JourneyContext } from "./journey.ts";
import { type RequestTemplate, representativeRequests } from "./representative-requests.ts";

export interface SurveyQuestion {
  /** `namespace/name`: who may reach it? Exactly one of `to` and `from`. */
  readonly to?: string;
  /** `namespace/name`: whom may it reach? */
  readonly from?: string;
  /** Of the workloads that are reached the container's port alone; every declared one without. */
  readonly port?: number;
  /** Of the other ends only those of this namespace. */
  readonly namespace?: string;
  /** What is asked of every pair; without, what the policies of the workload that is reached name. */
  readonly requests?: readonly RequestTemplate[];
}

export type PairVerdict = "allowed" | "denied" | "unknown" | "partly";

/** What came of one request. */
export type PairOutcome = Pick<
  HopVerdict,
  "allowed" | "code" | "reason" | "cause" | "policy" | "rule" | "hop"
> & {
  readonly request: RequestTemplate;
  readonly verdict: PairVerdict;
};

export interface Pair {
  /** `namespace/name`, or `{plaintext}`: anybody without a certificate of the mesh. */
  readonly from: string;
  /** `namespace/name`, a host outside, or `{any other host}`. */
  readonly to: string;
  /** The container's, or the host's. */
  readonly port: number;
  /** The name and port that the client dials; null where it dials the workload itself. */
  readonly service: string | null;
  /** `partly`: some requests, or by some ways, and not others. */
  readonly verdict: PairVerdict;
  readonly requests: readonly PairOutcome[];
}

/** Named as in `bulwark map`: a set of clients, not a workload. */
const PLAINTEXT = "{plaintext}";
const ANY_OTHER_HOST = "{any other host}";
/** Reserved so that nobody can have it (RFC 2606 §2). */
const NOBODYS_HOST = "nobody-knows-it.invalid";

interface Client {
  readonly name: string;
  readonly source: AccessSource;
  /** It is judged at the server alone. */
  readonly serverOnly: boolean;
  /** It reaches nothing outside of the mesh that could be asked about here. */
  readonly insideOnly: boolean;
}

interface Target {
  readonly name: string;
  readonly port: number;
  readonly service: string | null;
  readonly to: AccessDestination;
  /** The server's side alone; undefined for what is no workload. */
  readonly direct?: AccessDestination;
  readonly requests: readonly RequestTemplate[];
}

/** @param question names workloads that the mesh has (checkSurvey). */
export async function survey(context: JourneyContext, question: SurveyQuestion): Promise<Pair[]> {
  const { mesh } = context;
  const { workloads } = meshDirectory(mesh);
  const own = workloads.get(question.to ?? question.from ?? "");
  if (own === undefined) throw new Error("BUG: a survey of a workload that there is not");
  const others = [...workloads.values()].filter(
    (workload) =>
      workload !== own && (question.namespace === undefined || workload.namespace === question.namespace),
  );
  const pairs: Pair[] = [];
  if (question.to !== undefined) {
    const targets = targetsOf(mesh, own, question);
    const clients = [
      ...others.flatMap(clientOf),
      ...(question.namespace === undefined ? [anybodyInClear()] : []),
    ];
    for (const client of clients)
      for (const target of targets) pairs.push(await pairOf(context, client, target));
    return pairs;
  }
  const outside = question.namespace === undefined ? outsideTargets(mesh, question) : [];
  const served = others.flatMap((workload) => targetsOf(mesh, workload, question));
  for (const client of clientOf(own))
    for (const target of [...served, ...outside]) {
      if (target.direct === undefined && client.insideOnly) continue;
      pairs.push(await pairOf(context, client, target));
    }
  return pairs;
}

/** Gateways have no application: what counts is whether they would get in, wherever their routes lead. */
function clientOf({ key, role }: Workload): readonly Client[] {
  const source = { workload: key };
  return role === "waypoint"
    ? []
    : [{ name: key, source, serverOnly: false, insideOnly: role === "gateway" }];
}

function anybodyInClear(): Client {
  return { name: PLAINTEXT, source: { principal: null }, serverOnly: true, insideOnly: true };
}

/** The ports that containers declare and Services name, each as a client would dial it. */
function targetsOf(mesh: Mesh, workload: Workload, question: SurveyQuestion): readonly Target[] {
  if (workload.role !== "application") return [];
  const named = serviceTargets(mesh, workload);
  const protocols = compilePortProtocols(mesh, workload);
  const declared = workload.ports.filter(({ protocol }) => protocol === "TCP").map(({ port }) => port);
  const ports =
    question.port === undefined ? [...declared, ...named.map(({ target }) => target)] : [question.port];
  return [...new Set(ports)].map((port): Target => {
    const by = named.find(({ target }) => target === port);
    const direct = { workload: workload.key, port };
    const http = protocols.get(port) !== "tcp";
    return {
      name: workload.key,
      port,
      service: by === undefined ? null : `${by.service.hostname}:${by.port.port}`,
      to: by === undefined ? direct : dialled(by),
      direct,
      requests: question.requests ?? representativeRequests(mesh, workload, port, http),
    };
  });
}

function dialled({ service, port }: ServiceTarget): AccessDestination {
  return { host: service.hostname, port: port.port };
}

/** Hosts outside that the mesh knows, and one that it does not. */
function outsideTargets(mesh: Mesh, { port, requests }: SurveyQuestion): readonly Target[] {
  if (port !== undefined) return [];
  const known = mesh.services.filter(
    ({ origin, endpoints }) =>
      origin === "service-entry" && endpoints.every(({ workload }) => workload === undefined),
  );
  const targets = known.flatMap((service) =>
    service.ports.map((own) => outsideTarget(service.hostname, service, own, requests)),
  );
  return [
    ...targets,
    {
      ...outsideTarget(NOBODYS_HOST, undefined, { port: 80, protocol: "http" }, requests),
      name: ANY_OTHER_HOST,
    },
    {
      ...outsideTarget(NOBODYS_HOST, undefined, { port: 443, protocol: "tls" }, requests),
      name: ANY_OTHER_HOST,
    },
  ];
}

function outsideTarget(
  hostname: string,
  service: Service | undefined,
  { port, protocol }: { readonly port: number; readonly protocol: string },
  given: readonly RequestTemplate[] | undefined,
): Target {
  const host = hostname.replace("*", "x");
  const [address = ""] = service?.addresses ?? [];
  const own = requestOutside(protocol, host);
  const fits = given?.filter((request) => (request.protocol ?? "http") === own.protocol) ?? [];
  return {
    name: hostname,
    port,
    service: `${host}:${port}`,
    to: { host, port, ...(address === "" || address.includes("/") ? {} : { ip: address }) },
    requests: fits.length > 0 ? fits : [own],
  };
}

function requestOutside(protocol: string, host: string): RequestTemplate {
  if (protocol === "https" || protocol === "tls") return { protocol: "tls", sni: host };
  return protocol.startsWith("http") || protocol === "grpc"
    ? { protocol: "http", method: "GET", path: "/" }
    : { protocol: "tcp" };
}

async function pairOf(context: JourneyContext, client: Client, target: Target): Promise<Pair> {
  const to = (client.serverOnly ? target.direct : undefined) ?? target.to;
  const requests: PairOutcome[] = [];
  for (const request of target.requests) {
    const { ways } = await decideWays(context, { ...request, from: client.source, to }, false);
    requests.push(outcomeFor(request, ways, target));
  }
  return {
    from: client.name,
    to: target.name,
    port: target.port,
    service: to === target.to ? target.service : null,
    verdict: together(requests.map(({ verdict }) => verdict)),
    requests,
  };
}

/** A service may have other workloads as well: the ways to this one count, and those that end before any. */
function outcomeFor(request: RequestTemplate, ways: readonly Way[], { name, port }: Target): PairOutcome {
  const end = `${name}:${port}`;
  const here = ways.filter((way) => leadsTo(way, end) || endsBefore(way));
  const outcomes = (here.length === 0 ? ways : here).map(outcomeOf);
  const verdict = together(outcomes.map(verdictWord));
  const first = outcomes.find((outcome) => !outcome.allowed) ?? outcomes[0];
  if (first === undefined) throw new Error("BUG: a request without any outcome");
  const { allowed, code, reason, cause, policy, rule, hop } = first;
  return { request, verdict, allowed, code, reason, cause, policy, rule, hop };
}

function leadsTo({ by }: Way, end: string): boolean {
  const last = by.at(-1);
  return last === end || last?.endsWith(` at ${end}`) === true;
}

/** Refused by the client's proxy or a gateway, and not for what one of the servers shows. */
function endsBefore({ steps }: Way): boolean {
  return steps.some(
    ({ allowed, side, layer }) =>
      !allowed && side !== "server" && layer !== "client-tls" && layer !== "network",
  );
}

function verdictWord({ allowed, reason }: HopVerdict): PairVerdict {
  return allowed ? "allowed" : reason === "unknown" ? "unknown" : "denied";
}

function together(verdicts: readonly PairVerdict[]): PairVerdict {
  const [first = "unknown"] = verdicts;
  return verdicts.every((verdict) => verdict === first) ? first : "partly";
}
