/** Where workloads' own sidecars let them go after a change that they did not before, and the other way round. */
import type { Mesh } from "../../../model/mesh.ts";
import { isHttp1Method } from "../../../policy/http-request.ts";
import type { Semantics } from "../../../policy/inbound.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import { describeRegion, type Saying } from "../../space/describe.ts";
import { type Diagram, Diagrams, NO, YES } from "../../space/diagram.ts";
import { coverWithRegions, diagramOf } from "../../space/regions.ts";
import type { Cause } from "../causes.ts";
import { isOfServers } from "../server-causes.ts";
import { type ClientClass, clientClasses } from "./client-classes.ts";
import { type DialledHost, type DialledPort, dialledHosts } from "./dialled-hosts.ts";
import { type RouteCells, type RouteRequest, routeCells } from "./route-cells.ts";
import { routeMatches } from "./route-matches.ts";
import { plainWay, type Sender, UnclearWay } from "./senders.ts";
import { type HostCauses, hostCauses } from "./touched-hosts.ts";
import { type ClientWeakening, compareWays, type Way, type WayChange } from "./ways.ts";

export type DialledProtocol = "http" | "tls" | "tcp";

/** One that both loses and gains destinations is `widened`. */
export interface ClientChange {
  readonly change: "widened" | "narrowed";
  /** The workloads whose sidecars decide so, `namespace/name`. */
  readonly clients: readonly string[];
  /** What is dialled: `host:port`, or in words. */
  readonly dialled: readonly string[];
  readonly protocols: readonly DialledProtocol[];
  /** Of HTTP: which requests; what is not named is open. */
  readonly requests: readonly Saying[];
  /** Destinations that come, and that go: the host dialled ({@link ITSELF}), or `host:port` of another. */
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  /** Whether something that is gained lies outside of the mesh. */
  readonly leaves: boolean;
  readonly weakens: readonly ClientWeakening[];
  /** A request that the client's sidecar treats differently before and after. */
  readonly witness: AccessRequest;
  readonly causes: readonly Cause[];
}

export interface ClientDiff {
  readonly changes: readonly ClientChange[];
  readonly notAnalysed: readonly { readonly workloads: readonly string[]; readonly why: string }[];
}

/** Up to so many questions all hosts are compared; beyond, those alone that a changed resource names. */
const ALL_QUESTIONS = 200_000;
const MAX_QUESTIONS = 4_000_000;
/** Where what closes is not told: most are one question to a proxy that knows no such host, and nothing of them is kept. */
const MAX_WIDENING_QUESTIONS = 40_000_000;
const MAX_REGIONS = 20;

export interface ClientDiffOptions {
  /** Tells what opens, and not what closes: Sidecars of their own for a thousand clients close a million ways. */
  readonly widenedOnly?: boolean;
  /** Default: `istio`, whose sidecars annotations lead connections past. */
  readonly semantics?: Semantics;
}

export function clientChanges(
  before: Mesh,
  after: Mesh,
  { widenedOnly = false, semantics = "istio" }: ClientDiffOptions = {},
): ClientDiff {
  const causes = hostCauses(before, after);
  const classes = clientClasses(before, after, { isNothing: causes.isNothing, semantics });
  if (classes.length === 0) return { changes: [], notAnalysed: [] };
  const hosts = dialledHosts(before, after);
  const questions = classes.length * hosts.reduce((sum, { ports }) => sum + 3 * ports.length, 0);
  const comparison = new Comparison([before, after], causes, {
    all: questions <= ALL_QUESTIONS,
    widenedOnly,
  });
  for (const own of classes) for (const host of hosts) comparison.compare(own, host);
  return { changes: joinedChanges(comparison.changes), notAnalysed: comparison.notAnalysed() };
}

interface Asked {
  readonly own: ClientClass;
  readonly host: DialledHost;
  readonly port: DialledPort;
  readonly causes: readonly Cause[];
  readonly past: readonly [before: Past, after: Past];
}

/** Undefined where the proxy decides. */
type Past = readonly Way[] | undefined;

class Comparison {
  readonly changes: ClientChange[] = [];
  readonly #meshes: readonly Mesh[];
  readonly #causes: HostCauses;
  readonly #all: boolean;
  readonly #widenedOnly: boolean;
  readonly #cells = new Map<string, RouteCells | string>();
  readonly #limits = new Map<string, Set<string>>();
  #asked = 0;

  constructor(
    meshes: readonly Mesh[],
    causes: HostCauses,
    { all, widenedOnly }: { readonly all: boolean; readonly widenedOnly: boolean },
  ) {
    this.#meshes = meshes;
    this.#causes = causes;
    this.#all = all;
    this.#widenedOnly = widenedOnly;
  }

  compare(own: ClientClass, host: DialledHost): void {
    const ofClient = [...own.causes, ...this.#causes.forClient(own.senders.map(({ sidecar }) => sidecar))];
    const causes = [...(host.named === null ? [] : this.#causes.of(host.named.toLowerCase())), ...ofClient];
    if (causes.length === 0 && !this.#all && host.named !== null) return;
    try {
      for (const port of host.ports) {
        const asked = { own, host, port, causes, past: this.#past(own, host, port) };
        for (const protocol of ["tls", "tcp"] as const) this.#compareBytes(asked, protocol);
        this.#compareHttp(asked);
      }
    } catch (error) {
      if (!(error instanceof UnclearWay)) throw error;
      this.#limit(own, error.message);
    }
  }

  #limit({ workloads }: ClientClass, why: string): void {
    const known = this.#limits.get(why) ?? new Set();
    for (const { key } of workloads) known.add(key);
    this.#limits.set(why, known);
  }

  notAnalysed(): ClientDiff["notAnalysed"] {
    return [...this.#limits].map(([why, workloads]) => ({ why, workloads: [...workloads] }));
  }

  #compareBytes(asked: Asked, protocol: "tls" | "tcp"): void {
    const dialled = { host: asked.host.host, port: asked.port.port };
    const changed = this.#between(asked, (sender) => sender.bytes(dialled, protocol));
    if (changed !== undefined) this.#note(asked, protocol, changed, [], undefined);
  }

  #compareHttp(asked: Asked): void {
    const { host, own } = asked;
    const cells = this.#cellsFor(host);
    if (typeof cells === "string") {
      this.#limit(own, cells);
      return;
    }
    const { dimensions, points, requests } = cells;
    let made: Diagrams | undefined;
    const sets = new Map<string, { readonly changed: WayChange; set: Diagram }>();
    for (const [at, request] of requests.entries()) {
      const changed = this.#compareRequest(asked, request);
      const point = points[at];
      if (changed === undefined || point === undefined) continue;
      made ??= new Diagrams(dimensions.map(({ size }) => size));
      const diagrams = made;
      const key = JSON.stringify(changed);
      const region = new Map(point.map((cell, place) => [place, new Set([cell])]));
      const known = sets.get(key);
      const single = diagramOf(diagrams, region);
      sets.set(key, { changed, set: known === undefined ? single : diagrams.or(known.set, single) });
    }
    if (made === undefined) return;
    for (const { changed, set } of sets.values()) {
      const { regions, rest } = coverWithRegions(made, set, YES, MAX_REGIONS);
      if (rest !== NO) throw new AnalysisLimit("BUG: more regions than points");
      for (const region of regions) {
        const isIn = (point: readonly number[]) => [...region].every(([at, own]) => own.has(point[at] ?? 0));
        const inside = requests.filter((_, at) => isIn(points[at] ?? []));
        const usual = inside.find(({ method }) => method === "GET") ?? inside[0];
        this.#note(asked, "http", changed, describeRegion(dimensions, region), usual);
      }
    }
  }

  #compareRequest(asked: Asked, request: RouteRequest): WayChange | undefined {
    const { host, port } = asked;
    const dialled = { host: host.host, port: port.port };
    const authority = request.authority ?? authorityOf(host, port);
    return this.#between(asked, (sender) => sender.http(dialled, { ...request, authority }));
  }

  #between(
    { own: { senders, causes: moved }, causes, past }: Asked,
    ask: (sender: Sender) => readonly Way[],
  ): WayChange | undefined {
    this.#asked += 1;
    if (this.#asked > (this.#widenedOnly ? MAX_WIDENING_QUESTIONS : MAX_QUESTIONS))
      throw new AnalysisLimit(
        "too many clients that decide differently, of too many hosts: clients are not compared",
      );
    const now = past[1] ?? ask(senders[1]);
    // Who is sent nowhere gains nothing, wherever it was sent.
    if (this.#widenedOnly && now.length === 0) return undefined;
    const tlsFollows = moved.length === 0 && isOfServers(causes);
    const changed = compareWays(past[0] ?? ask(senders[0]), now, { tlsFollows, meshes: this.#meshes });
    return changed === undefined || (this.#widenedOnly && !isWidened(changed)) ? undefined : changed;
  }

  /** The ways of connections that annotations lead past the proxies, before and after. */
  #past({ senders }: ClientClass, { host }: DialledHost, { port }: DialledPort): Asked["past"] {
    const dialled = { host, port };
    const [was = false, is = false] = senders.map((sender) => sender.passesBy(dialled));
    if ((was === "unknown") !== (is === "unknown"))
      throw new UnclearWay(
        `annotations lead connections past their sidecars by addresses, and those of ${host} are not known`,
      );
    // Who is not told apart is compared as the proxy would decide.
    return [was, is].map((passes, at) => {
      const mesh = this.#meshes[at];
      return passes === true && mesh !== undefined ? [plainWay(mesh, dialled)] : undefined;
    }) as [Past, Past];
  }

  /** Why not, where it is a text. */
  #cellsFor({ named, host }: DialledHost): RouteCells | string {
    const key = named ?? "";
    let known = this.#cells.get(key);
    if (known === undefined) {
      try {
        known = routeCells(this.#meshes.flatMap((mesh) => routeMatches(mesh, host)));
      } catch (error) {
        if (!(error instanceof AnalysisLimit)) throw error;
        known = `what they send to ${named ?? "hosts that no service has"} as HTTP: ${error.message}`;
      }
      this.#cells.set(key, known);
    }
    return known;
  }

  #note(
    { own, host, port, causes }: Asked,
    protocol: DialledProtocol,
    { gained, lost, weakens, leaves }: WayChange,
    requests: readonly Saying[],
    request: RouteRequest | undefined,
  ): void {
    const [client] = own.workloads;
    const { authority = authorityOf(host, port), ...sent }: Partial<RouteRequest> = request ?? {};
    this.changes.push({
      change: isWidened({ gained, weakens }) ? "widened" : "narrowed",
      clients: own.workloads.map(({ key }) => key),
      dialled: [nameOf(host, port)],
      protocols: [protocol],
      requests,
      gained,
      lost,
      leaves,
      weakens,
      witness: {
        from: { workload: client?.key ?? "" },
        to: { host: host.host, port: port.port },
        // Methods that HTTP/1.1 does not know come by HTTP/2, which requests call so.
        protocol: isHttp1Method(sent.method ?? "GET") ? protocol : "grpc",
        ...(protocol === "tls" ? { sni: host.host } : {}),
        ...(protocol === "http" ? { host: authority, ...withPairs(sent) } : {}),
      },
      causes: bearing(causes, weakens.length > 0),
    });
  }
}

function isWidened({ gained, weakens }: Pick<WayChange, "gained" | "weakens">): boolean {
  return gained.length + weakens.length > 0;
}

/** Where a request goes is no matter of what servers ask of TLS; how it is sent is. */
function bearing(causes: readonly Cause[], isAboutTls: boolean): readonly Cause[] {
  const all = [...new Map(causes.map((cause) => [cause.resource, cause])).values()];
  const others = all.filter(({ resource }) => isAboutTls || !resource.startsWith("PeerAuthentication "));
  return others.length === 0 ? all : others;
}

function withPairs({ headers = [], ...rest }: Partial<RouteRequest>): Partial<AccessRequest> {
  const pairs = Array.from({ length: headers.length / 2 }, (_, at) => {
    return [headers[2 * at] ?? "", headers[2 * at + 1] ?? ""] as const;
  });
  return { ...rest, ...(pairs.length === 0 ? {} : { headers: pairs }) };
}

function authorityOf({ host }: DialledHost, { port }: DialledPort): string {
  return port === 80 ? host : `${host}:${port}`;
}

function nameOf({ named }: DialledHost, { port, isOther }: DialledPort): string {
  const host = named ?? "hosts that no service has";
  return isOther ? `${host}, any port that it does not declare` : `${host}:${port}`;
}

/** Changes that are alike but for what is dialled, or for the protocol, or for who dials, are told together. */
export function joinedChanges(changes: readonly ClientChange[]): readonly ClientChange[] {
  const byProtocol = join(changes, "protocols");
  const byHost = join(byProtocol, "dialled");
  return join(byHost, "clients").toSorted((a, b) => weightOf(a) - weightOf(b));
}

function weightOf({ change, weakens, leaves }: ClientChange): number {
  return (weakens.length > 0 || leaves ? 0 : 1) + (change === "widened" ? 0 : 2);
}

function join(changes: readonly ClientChange[], end: "protocols" | "dialled" | "clients"): ClientChange[] {
  const groups = new Map<string, ClientChange[]>();
  for (const change of changes) {
    const { witness: _, causes, ...rest } = change;
    const key = JSON.stringify([{ ...rest, [end]: null }, causes.map(({ resource }) => resource).sort()]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [change]);
    else group.push(change);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    return [{ ...first, [end]: [...new Set(group.flatMap((change): readonly string[] => change[end]))] }];
  });
}
