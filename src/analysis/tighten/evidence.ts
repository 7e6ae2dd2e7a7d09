/** What all records together show, in memory that grows with what differs and not with the records. */
import type { Mesh } from "../../model/mesh.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { EvidenceSpan } from "./evidence-span.ts";
import {
  type Caller,
  type ClientFlow,
  type LeftOut,
  type Reading,
  type ServerFlow,
  subjectOf,
} from "./flow-reading.ts";
import type { Fit } from "./judge-record.ts";
import type { PathThresholds } from "./path-thresholds.ts";
import { PathTree } from "./path-tree.ts";
import { type Seen, Subjects } from "./subjects.ts";

/** One way in which one caller came to one port. */
export interface Use {
  readonly principal: string;
  /** Null: a connection, of which the record tells no more. */
  readonly method: string | null;
  /** By gateways alone: the server name of TLS that they pass on. */
  readonly sni: string | null;
  /** The rules that let it through today; `open`: no ALLOW policy applies. */
  readonly fits: readonly Fit[] | "open";
  /** Whether it is let through today for all that the records tell. */
  readonly isCertain: boolean;
  readonly by: Caller["by"];
  /** Nobody looked whether it was HTTP, and what was asked for. */
  readonly isUntold: boolean;
  requests: number;
  /** Requests that were answered with a status of 400 and more. */
  failed: number;
}

export interface PortEvidence {
  readonly uses: Use[];
  readonly paths: PathTree;
}

/** Traffic that nothing is granted for, and that will be refused. */
export interface Unvouched {
  readonly workload: string;
  readonly port: number;
  /** `no identity` or an identity that the mesh's files do not know. */
  readonly caller: string;
  readonly example: string;
  requests: number;
}

/** Records that say allowed, of what today's policies refuse: they are of another time, or of other policies. */
export interface Contradiction {
  readonly workload: string;
  readonly example: string;
  requests: number;
}

export interface EvidenceOptions {
  readonly semantics: Semantics;
  readonly thresholds: PathThresholds;
  /** HTTP statuses whose requests are not taken for needed. */
  readonly unwantedStatuses: ReadonlySet<number>;
}

const MAX_USES = 5_000;
const MAX_LISTED = 1_000;
const MAX_UNTOLD = 100_000;

export class Evidence {
  readonly span = new EvidenceSpan();
  /** By workload, or the host of a service behind a waypoint; then by port. */
  readonly servers = new Map<string, Map<number, PortEvidence>>();
  /** By workload, then `host:port`. */
  readonly clients = new Map<string, Map<string, ClientFlow & { requests: number }>>();
  readonly leftOut = new Map<LeftOut, number>();
  readonly unvouched = new Map<string, Unvouched>();
  readonly contradictions = new Map<string, Contradiction>();
  /** Workloads at which callers ask in too many ways to be told apart. */
  readonly tooVaried = new Set<string>();
  /** `namespace/name` of those that a record of any kind shows to be alive. */
  readonly active = new Set<string>();
  /** `namespace/name` of those of whom a record as a client does not tell the host. */
  readonly untold = new Set<string>();
  /** `namespace/name` of those that records are of and the files do not have; empty where a record does not say. */
  readonly unknown = new Set<string>();
  /** Records that were lost, by the log's own word. */
  lost = 0;
  records = 0;
  granted = 0;
  readonly #options: EvidenceOptions;
  readonly #subjects: Subjects;
  readonly #useNumbers = new Map<PortEvidence, Map<string, number>>();

  constructor(mesh: Mesh, options: EvidenceOptions) {
    this.#options = options;
    this.#subjects = new Subjects(mesh, options.semantics);
  }

  add(reading: Exclude<Reading, { kind: "malformed" }>): void {
    if (reading.kind === "lost") {
      this.lost += reading.count;
      return;
    }
    this.records++;
    if (reading.kind === "left-out") {
      this.#leaveOut(reading.why);
      if (reading.why === "untold" && reading.about !== undefined && this.untold.size < MAX_UNTOLD)
        this.untold.add(reading.about);
      // Of more than can be kept it is as if they did not say.
      if (reading.why === "unknown-workload")
        this.unknown.add(this.unknown.size < MAX_LISTED ? (reading.about ?? "") : "");
    } else if (reading.kind === "client") this.#addClient(reading);
    else this.#addServer(reading);
  }

  #leaveOut(why: LeftOut): void {
    this.leftOut.set(why, (this.leftOut.get(why) ?? 0) + 1);
  }

  #addClient(flow: ClientFlow): void {
    this.span.add(flow.timeMs);
    this.active.add(flow.workload);
    let hosts = this.clients.get(flow.workload);
    if (hosts === undefined) {
      hosts = new Map();
      this.clients.set(flow.workload, hosts);
    }
    const key = `${flow.host}:${flow.port}${flow.isPassedOn === true ? " by its address" : ""}`;
    const known = hosts.get(key);
    if (known !== undefined) known.requests++;
    else if (hosts.size < MAX_USES) hosts.set(key, { ...flow, requests: 1 });
    else this.tooVaried.add(flow.workload);
  }

  #addServer(flow: ServerFlow): void {
    const status = flow.http?.status;
    if (status !== undefined && this.#options.unwantedStatuses.has(status)) {
      this.#leaveOut("unwanted-status");
      return;
    }
    this.span.add(flow.timeMs);
    this.active.add(flow.workload);
    const seen = this.#subjects.see(flow);
    if (seen === undefined) this.#leaveOut("untold");
    else if (seen.caller !== undefined) this.active.add(seen.caller);
    if (seen === undefined) return;
    if (flow.caller.principal === null || !seen.isKnown) {
      this.#list(this.unvouched, `${subjectOf(flow)} ${flow.port} ${flow.caller.principal}`, () => ({
        workload: subjectOf(flow),
        port: flow.port,
        caller: flow.caller.principal ?? "no identity",
        example: exampleOf(flow),
        requests: 0,
      }));
      return;
    }
    const { judgement } = seen.record;
    if (judgement === "refused") {
      this.#list(this.contradictions, `${subjectOf(flow)} ${flow.caller.principal}`, () => ({
        workload: subjectOf(flow),
        example: exampleOf(flow),
        requests: 0,
      }));
      return;
    }
    this.#grant(seen, flow.caller.principal, judgement);
  }

  #grant(seen: Seen, principal: string, fits: Use["fits"]): void {
    const { flow, request } = seen.record;
    const port = this.#portOf(flow);
    const number = this.#useOf(port, flow, principal, seen, fits);
    if (number === undefined) {
      this.tooVaried.add(subjectOf(flow));
      return;
    }
    const use = port.uses[number];
    if (use === undefined) throw new Error("BUG: a use without a number");
    this.granted++;
    use.requests++;
    if ((flow.http?.status ?? 0) >= 400) use.failed++;
    if (request !== null) port.paths.add(request.pathOnly, number);
  }

  #portOf(flow: ServerFlow): PortEvidence {
    const subject = subjectOf(flow);
    let ports = this.servers.get(subject);
    if (ports === undefined) {
      ports = new Map();
      this.servers.set(subject, ports);
    }
    const { port } = flow;
    let own = ports.get(port);
    if (own === undefined) {
      own = { uses: [], paths: new PathTree(this.#options.thresholds) };
      ports.set(port, own);
      this.#useNumbers.set(own, new Map());
    }
    return own;
  }

  #useOf(
    port: PortEvidence,
    flow: ServerFlow,
    principal: string,
    seen: Seen,
    fits: Use["fits"],
  ): number | undefined {
    const method = flow.http?.method ?? null;
    const sni = seen.isGateway && flow.http === null ? (flow.sni ?? null) : null;
    const isUntold = flow.http === null && !flow.isOpaque;
    const key = `${principal}\n${method}\n${sni}\n${isUntold}\n${fitsKey(fits)}`;
    const numbers = this.#useNumbers.get(port);
    const known = numbers?.get(key);
    if (known !== undefined || numbers === undefined) return known;
    if (port.uses.length >= MAX_USES) return undefined;
    const { isCertain } = seen.record;
    port.uses.push({
      principal,
      method,
      sni,
      fits,
      isCertain,
      by: flow.caller.by,
      isUntold,
      requests: 0,
      failed: 0,
    });
    numbers.set(key, port.uses.length - 1);
    return port.uses.length - 1;
  }

  #list<T extends { requests: number }>(list: Map<string, T>, key: string, make: () => T): void {
    let entry = list.get(key);
    if (entry === undefined && list.size < MAX_LISTED) {
      entry = make();
      list.set(key, entry);
    }
    if (entry !== undefined) entry.requests++;
  }
}

function fitsKey(fits: Use["fits"]): string {
  return fits === "open" ? fits : fits.map(({ rule, from, to }) => `${rule.key} ${from} ${to}`).join(",");
}

function exampleOf({ caller, http, port }: ServerFlow): string {
  const what = http === null ? "a connection" : `${http.method} ${http.path.slice(0, 200)}`;
  return `${what} to port ${port}${caller.ip === undefined ? "" : ` from ${caller.ip}`}`;
}
