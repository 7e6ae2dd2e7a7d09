/**
 * What a workload's policies say of a request of which a record tells some: a rule fits for certain, or as far as is known. Conditions on what
 * no record tells (tokens, headers) are not guessed at: they are carried over into what is proposed.
 */
import type { Authorization } from "../../policy/authorization.ts";
import type { Clause, CompiledRule } from "../../policy/authorization-rule.ts";
import { Connection } from "../../policy/connection.ts";
import { HttpRequest } from "../../policy/http-request.ts";
import { chainOf, type InboundPolicy, refuseTransport } from "../../policy/inbound.ts";
import type { ServerFlow } from "./flow-reading.ts";

/** A rule, and which entries of its `from` and `to`, that let a request through. */
export interface Fit {
  readonly rule: Pick<CompiledRule, "policy" | "index" | "key">;
  readonly from: number;
  readonly to: number;
}

/** `refused`: for certain. `open`: no ALLOW policy applies. Else the fits: one that is certain, or all that may be. */
export type Judgement = "refused" | "open" | readonly Fit[];

export interface Judged {
  readonly judgement: Judgement;
  /** Whether it is so for all that the record tells, and does not hang on what it does not. */
  readonly isCertain: boolean;
}

/** A record as the server's proxy decides on it. */
export interface JudgedRecord extends Judged {
  readonly flow: ServerFlow;
  /** Null: a connection. */
  readonly request: HttpRequest | null;
}

/** Judges records by the policies of one workload. */
export interface FlowJudge {
  readonly isGateway: boolean;
  /** Identities that its rules name in full. */
  readonly named: ReadonlySet<string>;
  /** Undefined for what no proxy takes for a request. */
  judge(record: ServerFlow): JudgedRecord | undefined;
}

const REFUSED: Judged = { judgement: "refused", isCertain: true };
const OPEN: Judged = { judgement: "open", isCertain: true };
const PERHAPS_OPEN: Judged = { judgement: "open", isCertain: false };

/** A rule of which the caller may be one that it is about; undefined entries hang on what is not known. */
interface Candidate {
  readonly rule: CompiledRule;
  readonly sources: readonly (boolean | undefined)[];
}

interface Candidates {
  readonly denied: readonly Candidate[];
  /** Null: no ALLOW policy applies. */
  readonly allowed: readonly Candidate[] | null;
}

/** What is the same for all requests of one caller to one port: looked at once, for logs have millions. */
interface KnownConnection {
  readonly connection: Connection;
  readonly protocol: "http" | "tcp";
  readonly isRefused: boolean;
  readonly hasAddress: boolean;
  readonly hasServerName: boolean;
  readonly candidates: Partial<Record<Side, Candidates>>;
}

type Side = "http" | "tcp";

const MAX_CONNECTIONS = 2_000;

/** By the policies of a workload's own proxy. */
export class RecordJudge implements FlowJudge {
  readonly policy: InboundPolicy;
  readonly isGateway: boolean;
  readonly named: ReadonlySet<string>;
  readonly #asksAddress: boolean;
  readonly #connections = new Map<string, KnownConnection>();

  constructor(policy: InboundPolicy) {
    this.policy = policy;
    this.isGateway = policy.workload.role === "gateway";
    this.named = namedPrincipals(policy);
    this.#asksAddress = asksAddress(policy.http) || asksAddress(policy.tcp);
  }

  judge(record: ServerFlow): JudgedRecord | undefined {
    const known = this.#connectionOf(record);
    // On a port that is plain TCP to the proxy nobody decides on requests, whoever logged them.
    const isTcp = this.policy.gateway === null && known.protocol === "tcp" && record.http !== null;
    const flow = isTcp ? { ...record, http: null, isOpaque: true } : record;
    const request = requestOf(flow, this.policy);
    if (request === undefined) return undefined;
    const { judgement, isCertain } = this.#judge(known, request, flow);
    return { flow, request, judgement, isCertain };
  }

  #judge(known: KnownConnection, request: HttpRequest | null, flow: ServerFlow): Judged {
    if (this.policy.unprotected) return OPEN;
    if (known.isRefused || (this.policy.gateway === null && known.protocol === "http" && flow.isOpaque))
      return REFUSED;
    const [first, second] = sidesOf(this.policy, flow).map((side) =>
      this.#judgeSide(side, known, request, flow),
    );
    if (first === undefined) return REFUSED;
    if (second === undefined || second.judgement === "refused") return first;
    if (first.judgement === "refused") return second;
    // Nobody looked which of the two it was.
    if (first.judgement === "open" || second.judgement === "open") return PERHAPS_OPEN;
    return { judgement: [...first.judgement, ...second.judgement], isCertain: false };
  }

  #judgeSide(side: Side, known: KnownConnection, request: HttpRequest | null, flow: ServerFlow): Judged {
    const { denied, allowed } = this.#candidatesOf(side, known);
    let isCertain = this.policy[side].custom === null;
    for (const candidate of denied) {
      const { certain, possible } = fitsOf(candidate, known, request);
      if (certain !== undefined) return REFUSED;
      if (possible.length > 0) isCertain = false;
    }
    if (allowed === null) return isCertain ? OPEN : PERHAPS_OPEN;
    const isRecorded = ({ rule }: { readonly rule: CompiledRule }): boolean =>
      rule.index === flow.rule && rule.policy === flow.policy;
    const recorded = flow.policy === undefined ? undefined : allowed.find(isRecorded);
    const ordered = recorded === undefined ? allowed : [recorded, ...allowed];
    const possible: Fit[] = [];
    for (const candidate of ordered) {
      const fits = fitsOf(candidate, known, request);
      if (fits.certain !== undefined) return { judgement: [fits.certain], isCertain };
      if (recorded !== undefined && candidate === recorded && fits.possible.length > 0)
        return { judgement: fits.possible, isCertain: false };
      possible.push(...fits.possible);
    }
    return possible.length === 0 ? REFUSED : { judgement: possible, isCertain: false };
  }

  #candidatesOf(side: Side, known: KnownConnection): Candidates {
    const made = known.candidates[side];
    if (made !== undefined) return made;
    const { deny, broken, allow } = this.policy[side];
    const candidates: Candidates = {
      denied: candidatesOf([...(deny?.rules ?? []), ...(broken?.rules ?? [])], known),
      allowed: allow === null ? null : candidatesOf(allow.rules, known),
    };
    known.candidates[side] = candidates;
    return candidates;
  }

  #connectionOf(flow: ServerFlow): KnownConnection {
    const { caller, port, http, isOpaque, sni } = flow;
    const ip = this.#asksAddress ? caller.ip : undefined;
    const key = `${port} ${http !== null ? "h" : isOpaque ? "o" : "u"} ${caller.principal} ${sni} ${ip}`;
    const known = this.#connections.get(key);
    if (known !== undefined) return known;
    const made = this.#connect(flow);
    // Hostile records must not fill memory.
    if (this.#connections.size >= MAX_CONNECTIONS) this.#connections.clear();
    this.#connections.set(key, made);
    return made;
  }

  #connect({ caller, port, http, isOpaque, sni }: ServerFlow): KnownConnection {
    const speaksHttp = http !== null || !isOpaque;
    const connection = new Connection({
      tls: caller.principal === null ? "plaintext" : "mtls",
      principal: caller.principal,
      sourceIp: caller.ip ?? "192.0.2.1",
      destinationIp: "192.0.2.2",
      destinationPort: port,
      sni,
      alpn: caller.principal === null ? [] : speaksHttp ? ["istio-http/1.1", "istio"] : ["istio"],
      speaksHttp,
    });
    const { policy } = this;
    const chain = chainOf(policy, connection);
    const isRefused = policy.gateway === null && refuseTransport(policy, connection, chain) !== null;
    return {
      connection,
      protocol: chain.protocol,
      isRefused,
      hasAddress: caller.ip !== undefined,
      hasServerName: sni !== undefined,
      candidates: {},
    };
  }
}

function namedPrincipals({ http, tcp }: InboundPolicy): ReadonlySet<string> {
  const rules = [...(http.allow?.rules ?? []), ...(tcp.allow?.rules ?? [])];
  const conditions = rules.flatMap(({ rule }) => rule.sources.flat());
  return new Set(conditions.flatMap(({ field, values }) => (field === "principals" ? values : [])));
}

function asksAddress({ deny, broken, allow }: Authorization): boolean {
  const rules = [...(deny?.rules ?? []), ...(broken?.rules ?? []), ...(allow?.rules ?? [])];
  return rules.some(({ rule }) => rule.sources.flat().some(({ field }) => ADDRESS_FIELDS.has(field)));
}

const ADDRESS_FIELDS: ReadonlySet<string> = new Set(["ipBlocks", "source.ip"]);

/** Hosts and headers play no part: what hangs on them is carried over. */
function requestOf(
  { http }: ServerFlow,
  { pathNormalization }: InboundPolicy,
): HttpRequest | null | undefined {
  if (http === null) return null;
  const request = HttpRequest.read(pathNormalization, http.method, http.path, "host.example", [], 2);
  if (request === null) return undefined;
  // A star at an end would be read as a pattern.
  return http.method.startsWith("*") || http.method.endsWith("*") ? undefined : request;
}

const HTTP_SIDE: readonly Side[] = ["http"];
const TCP_SIDE: readonly Side[] = ["tcp"];
const BOTH_SIDES: readonly Side[] = ["http", "tcp"];

function sidesOf({ ports, gateway }: InboundPolicy, { http, isOpaque, port }: ServerFlow): readonly Side[] {
  if (http !== null) return HTTP_SIDE;
  const declared = ports.get(port) ?? "auto";
  if (isOpaque || gateway !== null || declared === "tcp") return TCP_SIDE;
  return declared === "auto" ? BOTH_SIDES : HTTP_SIDE;
}

function candidatesOf(
  rules: readonly { readonly rule: CompiledRule }[],
  known: KnownConnection,
): readonly Candidate[] {
  return rules.flatMap(({ rule }): Candidate[] => {
    const sources = rule.sources.map((clause) => truthOf(clause, known, null));
    return sources.every((truth) => truth === false) ? [] : [{ rule, sources }];
  });
}

interface Fits {
  readonly certain: Fit | undefined;
  readonly possible: readonly Fit[];
}

const NONE: Fits = { certain: undefined, possible: [] };

/** The first that is certain, or all that are possible. */
function fitsOf({ rule, sources }: Candidate, known: KnownConnection, request: HttpRequest | null): Fits {
  let possible: Fit[] | undefined;
  for (const [to, clause] of rule.operations.entries()) {
    const operation = truthOf(clause, known, request);
    if (operation === false) continue;
    for (const [from, source] of sources.entries()) {
      if (source === false) continue;
      const fit = { rule, from, to };
      if (source === true && operation === true) return { certain: fit, possible: [] };
      possible ??= [];
      possible.push(fit);
    }
  }
  return possible === undefined ? NONE : { certain: undefined, possible };
}

/** Undefined: it hangs on what is not known. */
function truthOf(clause: Clause, known: KnownConnection, request: HttpRequest | null): boolean | undefined {
  let truth: boolean | undefined = true;
  for (const condition of clause) {
    if (!isKnown(condition.field, known, request)) truth = undefined;
    else if (!condition.matches(known.connection, request)) return false;
  }
  return truth;
}

const OF_CONNECTION: ReadonlySet<string> = new Set([
  "principals",
  "serviceAccounts",
  "trustDomains",
  "namespaces",
  "source.principal",
  "source.namespace",
  "source.serviceAccount",
  "source.trustDomain",
  "ports",
  "destination.port",
]);

function isKnown(field: string, known: KnownConnection, request: HttpRequest | null): boolean {
  if (field === "methods" || field === "paths") return request !== null;
  if (OF_CONNECTION.has(field)) return true;
  if (ADDRESS_FIELDS.has(field)) return known.hasAddress;
  return field === "connection.sni" && known.hasServerName;
}
