/**
 * What today's policies say of a request of which a record tells some: a rule fits for certain, or as far as is known. Conditions on what
 * no record tells (tokens, headers) are not guessed at: they are carried over into what is proposed.
 */
import type { Clause, CompiledRule } from "../../policy/authorization-rule.ts";
import type { Connection } from "../../policy/connection.ts";
import type { HttpRequest } from "../../policy/http-request.ts";
import { chainOf, type InboundPolicy, refuseTransport } from "../../policy/inbound.ts";
import type { ServerFlow } from "./flow-reading.ts";

/** A rule, and which entries of its `from` and `to`, that let a request through. */
export interface Fit {
  readonly rule: CompiledRule;
  readonly from: number;
  readonly to: number;
}

/** `refused`: for certain. `open`: no ALLOW policy applies. Else the fits: one that is certain, or all that may be. */
export type Judgement = "refused" | "open" | readonly Fit[];

export interface Judged {
  readonly judgement: Judgement;
  /** Whether it hangs on what the record does not tell. */
  readonly isCertain: boolean;
}

const REFUSED: Judged = { judgement: "refused", isCertain: true };

/** Which facts the record tells, besides identity and port. */
interface Known {
  readonly request: HttpRequest | null;
  readonly hasAddress: boolean;
  readonly hasServerName: boolean;
}

export function judgeRecord(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | null,
  flow: ServerFlow,
): Judged {
  if (policy.unprotected) return { judgement: "open", isCertain: true };
  const known = { request, hasAddress: flow.caller.ip !== undefined, hasServerName: flow.sni !== undefined };
  if (policy.gateway === null) {
    const chain = chainOf(policy, connection);
    if (refuseTransport(policy, connection, chain) !== null) return REFUSED;
    if (chain.protocol === "http" && flow.isOpaque) return REFUSED;
  }
  const sides = sidesOf(policy, flow).map((side) => judge(policy[side], connection, known, flow));
  const [first, second] = sides;
  if (first === undefined) return REFUSED;
  if (second === undefined || second.judgement === "refused") return first;
  if (first.judgement === "refused") return second;
  // Nobody looked which of the two it was.
  if (first.judgement === "open" || second.judgement === "open")
    return { judgement: "open", isCertain: false };
  return { judgement: [...first.judgement, ...second.judgement], isCertain: false };
}

function sidesOf(
  { ports, gateway }: InboundPolicy,
  { http, isOpaque, port }: ServerFlow,
): readonly ("http" | "tcp")[] {
  if (http !== null) return ["http"];
  const declared = ports.get(port) ?? "auto";
  if (isOpaque || gateway !== null || declared === "tcp") return ["tcp"];
  return declared === "auto" ? ["http", "tcp"] : ["http"];
}

function judge(
  { deny, broken, allow, custom }: InboundPolicy["http"],
  connection: Connection,
  known: Known,
  flow: ServerFlow,
): Judged {
  const denied = [...(deny?.rules ?? []), ...(broken?.rules ?? [])].map(({ rule }) =>
    fitsOf(rule, connection, known),
  );
  if (denied.some(({ certain }) => certain.length > 0)) return REFUSED;
  const isCertain = custom === null && denied.every(({ possible }) => possible.length === 0);
  if (allow === null) return { judgement: "open", isCertain };
  const fits = allow.rules.map(({ rule }) => fitsOf(rule, connection, known));
  const certain = fits.flatMap((fit) => fit.certain);
  const recorded =
    certain.find(({ rule }) => rule.policy === flow.policy && rule.index === flow.rule) ?? certain[0];
  if (recorded !== undefined) return { judgement: [recorded], isCertain };
  const possible = fits.flatMap((fit) => fit.possible);
  if (possible.length === 0) return REFUSED;
  const told = possible.filter(({ rule }) => rule.policy === flow.policy && rule.index === flow.rule);
  return { judgement: told.length > 0 ? told : possible, isCertain: false };
}

interface Fits {
  readonly certain: readonly Fit[];
  readonly possible: readonly Fit[];
}

const NONE: Fits = { certain: [], possible: [] };

function fitsOf(rule: CompiledRule, connection: Connection, known: Known): Fits {
  const sources = rule.sources.map((clause) => truthOf(clause, connection, known));
  if (sources.every((truth) => truth === false)) return NONE;
  const operations = rule.operations.map((clause) => truthOf(clause, connection, known));
  const certain: Fit[] = [];
  const possible: Fit[] = [];
  for (const [from, source] of sources.entries())
    for (const [to, operation] of operations.entries()) {
      if (source === false || operation === false) continue;
      (source === true && operation === true ? certain : possible).push({ rule, from, to });
    }
  return { certain, possible };
}

/** Undefined: it hangs on what is not known. */
function truthOf(clause: Clause, connection: Connection, known: Known): boolean | undefined {
  let truth: boolean | undefined = true;
  for (const condition of clause) {
    if (!isKnown(condition.field, known)) truth = undefined;
    else if (!condition.matches(connection, known.request)) return false;
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

function isKnown(field: string, { request, hasAddress, hasServerName }: Known): boolean {
  if (OF_CONNECTION.has(field)) return true;
  if (field === "methods" || field === "paths") return request !== null;
  if (field === "ipBlocks" || field === "source.ip") return hasAddress;
  return field === "connection.sni" && hasServerName;
}
