/** What a ztunnel says of a connection of which a record tells some: names, ports and addresses alone, whatever was asked for in it. */
import type { Mesh } from "../../model/mesh.ts";
import type { AmbientPolicy, L4Policy } from "../../policy/ambient/ambient-policy.ts";
import type { L4Entry } from "../../policy/ambient/l4-rule.ts";
import type { AuthorizationSpec, RuleSpec } from "../../policy/authorization-spec.ts";
import { Connection } from "../../policy/connection.ts";
import { resourceName } from "../../resources/resource.ts";
import { ZTUNNEL_PORTS } from "../space/ambient-server.ts";
import type { ServerFlow } from "./flow-reading.ts";
import type { Fit, FlowJudge, Judged, JudgedRecord } from "./judge-record.ts";

const REFUSED: Judged = { judgement: "refused", isCertain: true };
const OPEN: Judged = { judgement: "open", isCertain: true };

/** A rule with its clauses by what they are: each entry of `from` and `to` may be the one that fits. */
interface Candidate {
  readonly rule: Fit["rule"];
  readonly sources: readonly L4Entry[];
  readonly operations: readonly L4Entry[];
  readonly others: readonly (readonly L4Entry[])[];
}

interface Candidates {
  readonly policy: AmbientPolicy;
  readonly deny: readonly Candidate[];
  /** Null: no ALLOW policy applies. */
  readonly allow: readonly Candidate[] | null;
}

/** Judges records by the policies of one workload in ambient mode. */
export class AmbientRecordJudge implements FlowJudge {
  readonly isGateway = false;
  readonly named: ReadonlySet<string>;
  readonly #levels: readonly Candidates[];

  constructor(mesh: Mesh, policy: AmbientPolicy) {
    const levels = [policy, ...(policy.asWritten === null ? [] : [policy.asWritten])];
    const specs = new Map(mesh.authorizationPolicies.map((own) => [resourceName(own), own.spec]));
    const rulesOf = (name: string): readonly RuleSpec[] =>
      (specs.get(name) as AuthorizationSpec | undefined)?.rules ?? [];
    this.#levels = levels.map((level) => ({
      policy: level,
      deny: candidatesOf(level.deny, rulesOf),
      allow: level.allow.length === 0 ? null : candidatesOf(level.allow, rulesOf),
    }));
    const rules = levels.flatMap(({ allow }) => allow).flatMap((own) => own.rules);
    const conditions = rules.flatMap(({ clauses }) => clauses.flat(2));
    this.named = new Set(conditions.flatMap(({ field, values }) => (field === "principals" ? values : [])));
  }

  judge(record: ServerFlow): JudgedRecord {
    // INVARIANT: nothing of HTTP gets into what ztunnel is to enforce: it drops ALLOW rules that name any of it.
    const flow: ServerFlow = { ...record, http: null, isOpaque: true };
    return { flow, request: null, ...this.#judge(flow) };
  }

  /** Under strict semantics what istiod makes of the files has to let it through, and what they say. */
  #judge(flow: ServerFlow): Judged {
    let joined = OPEN;
    for (const level of this.#levels) {
      const own = judgeBy(level, flow);
      if (own.judgement === "refused") return own;
      joined = both(joined, own);
    }
    return joined;
  }
}

function both(a: Judged, b: Judged): Judged {
  const isCertain = a.isCertain && b.isCertain;
  if (a.judgement === "open" || a.judgement === "refused") return { judgement: b.judgement, isCertain };
  if (b.judgement === "open" || b.judgement === "refused") return { judgement: a.judgement, isCertain };
  const nameOf = ({ rule, from, to }: Fit): string => `${rule.key} ${from} ${to}`;
  const fits = new Map([...a.judgement, ...b.judgement].map((fit) => [nameOf(fit), fit]));
  return { judgement: [...fits.values()], isCertain };
}

function judgeBy({ policy, deny, allow }: Candidates, flow: ServerFlow): Judged {
  const { caller, port } = flow;
  if (ZTUNNEL_PORTS.includes(port)) return REFUSED;
  const connection = connectionOf(flow);
  const isForeign = connection.trustDomain !== policy.trustDomain || connection.namespace === "";
  if (caller.principal !== null && isForeign) return REFUSED;
  if (caller.principal === null && policy.plaintext.some(({ refuses }) => refuses(port))) return REFUSED;
  const hasAddress = caller.ip !== undefined;
  let isCertain = true;
  for (const candidate of deny) {
    const { certain, possible } = fitsOf(candidate, connection, hasAddress);
    if (certain !== undefined) return REFUSED;
    if (possible.length > 0) isCertain = false;
  }
  if (allow === null) return { judgement: "open", isCertain };
  const possible: Fit[] = [];
  for (const candidate of allow) {
    const fits = fitsOf(candidate, connection, hasAddress);
    if (fits.certain !== undefined) return { judgement: [fits.certain], isCertain };
    possible.push(...fits.possible);
  }
  return possible.length === 0 ? REFUSED : { judgement: possible, isCertain: false };
}

function connectionOf({ caller, port }: ServerFlow): Connection {
  return new Connection({
    tls: caller.principal === null ? "plaintext" : "mtls",
    principal: caller.principal,
    sourceIp: caller.ip ?? "192.0.2.1",
    destinationIp: "192.0.2.2",
    destinationPort: port,
    alpn: [],
    speaksHttp: false,
  });
}

/** Without a clause of its kind a rule asks for nothing there. */
const ANYTHING: readonly L4Entry[] = [[]];

function candidatesOf(
  policies: readonly L4Policy[],
  rulesOf: (policy: string) => readonly RuleSpec[],
): readonly Candidate[] {
  return policies.flatMap(({ policy, rules }) =>
    rules.map(({ index, clauses }): Candidate => {
      const { from = [], to = [] } = rulesOf(policy)[index] ?? {};
      const rest = [...clauses];
      const operations = to.length === 0 ? ANYTHING : (rest.shift() ?? []);
      const sources = from.length === 0 ? ANYTHING : (rest.shift() ?? []);
      return { rule: { policy, index, key: `${policy} ${index}` }, sources, operations, others: rest };
    }),
  );
}

interface Fits {
  readonly certain: Fit | undefined;
  readonly possible: readonly Fit[];
}

/** The first that is certain, or all that are possible. */
function fitsOf(
  { rule, sources, operations, others }: Candidate,
  connection: Connection,
  hasAddress: boolean,
): Fits {
  const truth = (entry: L4Entry, list: readonly L4Entry[]): boolean | undefined =>
    list === ANYTHING ? true : truthOf(entry, connection, hasAddress);
  let rest: boolean | undefined = true;
  for (const clause of others) {
    const truths = clause.map((entry) => truthOf(entry, connection, hasAddress));
    if (truths.every((own) => own === false)) return { certain: undefined, possible: [] };
    if (!truths.includes(true)) rest = undefined;
  }
  const possible: Fit[] = [];
  for (const [to, operation] of operations.entries())
    for (const [from, source] of sources.entries()) {
      const [a, b] = [truth(operation, operations), truth(source, sources)];
      if (a === false || b === false) continue;
      const fit = { rule, from, to };
      if (a === true && b === true && rest === true) return { certain: fit, possible: [] };
      possible.push(fit);
    }
  return { certain: undefined, possible };
}

/** Undefined: it hangs on an address that is not known. An entry of which nothing is left never matches. */
function truthOf(entry: L4Entry, connection: Connection, hasAddress: boolean): boolean | undefined {
  if (entry.length === 0) return false;
  let truth: boolean | undefined = true;
  for (const { field, matches } of entry) {
    const isKnown = field !== "destination.ip" && (hasAddress || !SOURCE_ADDRESS.has(field));
    if (!isKnown) truth = undefined;
    else if (!matches(connection)) return false;
  }
  return truth;
}

const SOURCE_ADDRESS: ReadonlySet<string> = new Set(["ipBlocks", "source.ip"]);
