/** Whether what is wanted of a mesh is so: proven over all requests, or shown not to be by one. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { decide } from "../../policy/decide.ts";
import { compileInbound, type Semantics } from "../../policy/inbound.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { KnownCallers } from "../diff/known-callers.ts";
import { NetworkSenders } from "../diff/network-senders.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { witnessRequest } from "../diff/witness-request.ts";
import { ambientServer } from "../space/ambient-server.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { Complexity } from "../space/complexity.ts";
import { type Diagram, NO, type Operation, YES } from "../space/diagram.ts";
import { type AnalysedServer, type RequestRules, ServerSpace } from "../space/server-space.ts";
import { TooComplex } from "../space/too-complex.ts";
import { witnessOf } from "../space/witness.ts";
import { alteringResources } from "./altered-proxies.ts";
import { type Invariant, type KnownConditions, requestRules } from "./invariant.ts";
import { isAboutSenders, type Relay, relaysTo } from "./relays.ts";
import { unreadFindings } from "./unread-findings.ts";

/** A request that goes against an invariant, and who answers it so. */
export interface Witness {
  readonly request: AccessRequest;
  readonly allowed: boolean;
  /** `Kind namespace/name` that decides; null where none does. */
  readonly policy: string | null;
  /** Index in the policy's rules. */
  readonly rule: number | null;
  /** As `can` has it. */
  readonly cause: string;
}

/** Workloads for which the same is to be said, `namespace/name`: they have the same policies. */
export interface Finding {
  /** Empty where it is about none that is read; `why` tells. */
  readonly workloads: readonly string[];
  /** `violated`: the witness shows it. `unclear`: nobody can say before it happens, or it was not analysed. */
  readonly outcome: "violated" | "unclear";
  /** What is the matter, for a person. */
  readonly why: string;
  readonly witness?: Witness;
  /** Present where the budget was used up: not that something is not followed, but that there is too much of it. */
  readonly isTooComplex?: true;
}

export interface InvariantResult {
  readonly invariant: Invariant;
  /** `proven`: for each of its workloads, of which there is at least one. */
  readonly outcome: "proven" | "violated" | "unclear";
  /** `namespace/name` of those for which it is proven. */
  readonly proven: readonly string[];
  /** Of those, the ones at which no request can match the rules of a `never` or `always`: nothing was at stake. */
  readonly vacuous: readonly string[];
  readonly findings: readonly Finding[];
}

export interface MeshVerification {
  readonly results: readonly InvariantResult[];
  /** Workloads that were looked at, and classes of them with equal policies. */
  readonly workloads: number;
  readonly classes: number;
}

export interface VerifyOptions {
  readonly semantics: Semantics;
}

/** Judges the servers' side of every workload that an invariant selects. */
export async function verifyAccess(
  mesh: Mesh,
  invariants: readonly Invariant[],
  { semantics }: VerifyOptions,
): Promise<MeshVerification> {
  const known: KnownConditions = new Map();
  const judged = invariants.map((invariant) => new Judged(invariant, requestRules(invariant, mesh, known)));
  const classes = classesOf(mesh, judged);
  const judge = new Judge(mesh, semantics);
  for (const group of classes) await judge.judge(group);
  for (const one of judged) one.findings.push(...unreadFindings(mesh, one.invariant));
  return {
    results: judged.map((one) => one.result()),
    workloads: classes.reduce((count, { workloads }) => count + workloads.length, 0),
    classes: classes.length,
  };
}

interface WorkloadClass {
  readonly workloads: Workload[];
  /** One list for all classes that the same invariants select. */
  readonly judged: readonly Judged[];
}

/** An invariant, and what has been found of it so far. */
class Judged {
  readonly invariant: Invariant;
  readonly rules: RequestRules;
  readonly proven: string[] = [];
  readonly vacuous: string[] = [];
  readonly findings: Finding[] = [];

  constructor(invariant: Invariant, rules: RequestRules) {
    this.invariant = invariant;
    this.rules = rules;
  }

  result(): InvariantResult {
    const { invariant, proven, vacuous } = this;
    const isBound = proven.length > 0 || this.findings.length > 0;
    const findings = isBound ? this.findings : [NOTHING_SELECTED];
    const isViolated = findings.some(({ outcome }) => outcome === "violated");
    const outcome = isViolated ? "violated" : findings.length > 0 ? "unclear" : "proven";
    return { invariant, outcome, proven, vacuous, findings };
  }
}

/** A slip in a selector must not pass for a proof. */
const NOTHING_SELECTED: Finding = {
  workloads: [],
  outcome: "unclear",
  why: "it selects no workload: nothing was proven",
};

/** Those together that have the same policies, and that the same invariants select. */
function classesOf(mesh: Mesh, judged: readonly Judged[]): readonly WorkloadClass[] {
  const classes = new Map<string, WorkloadClass>();
  const lists = new Map<string, readonly Judged[]>();
  for (const workload of mesh.workloads) {
    const numbers = judged.flatMap(({ invariant }, at) => (invariant.selects(workload) ? [at] : []));
    if (numbers.length === 0) continue;
    const list = lists.get(numbers.join()) ?? numbers.flatMap((at) => judged[at] ?? []);
    lists.set(numbers.join(), list);
    const key = `${numbers.join()}\n${serverFacts(mesh, workload).text}`;
    const known = classes.get(key);
    if (known === undefined) classes.set(key, { workloads: [workload], judged: list });
    else known.workloads.push(workload);
  }
  return [...classes.values()];
}

class Judge {
  readonly #mesh: Mesh;
  readonly #semantics: Semantics;
  readonly #callers: KnownCallers;
  readonly #senders: NetworkSenders;
  readonly #complexity = new Complexity();
  readonly #alteredBy: (workload: Workload) => readonly string[];
  /** Each costs some seconds. */
  #retries = 32;

  constructor(mesh: Mesh, semantics: Semantics) {
    this.#mesh = mesh;
    this.#semantics = semantics;
    this.#callers = new KnownCallers([mesh]);
    this.#senders = new NetworkSenders(mesh);
    this.#alteredBy = alteringResources(mesh);
  }

  async judge({ workloads: all, judged }: WorkloadClass): Promise<void> {
    const workloads = this.#unaltered(all, judged);
    if (workloads.length === 0) return;
    const keys = workloads.map(({ key }) => key);
    try {
      const policy = this.#compile(workloads[0]);
      this.#complexity.check([policy]);
      await this.#judgeParts(policy, judged, workloads);
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      for (const one of judged) one.findings.push(notAnalysed(keys, error));
    }
  }

  /** Of a proxy that is patched nobody knows what it lets through. */
  #unaltered(workloads: readonly Workload[], judged: readonly Judged[]): readonly Workload[] {
    const patches = Map.groupBy(workloads, (workload) => this.#alteredBy(workload).join(", "));
    for (const [names, patched] of patches) {
      if (names === "") continue;
      const why = `not analysed: ${names} may change what its proxy does`;
      const keys = patched.map(({ key }) => key);
      for (const one of judged) one.findings.push({ workloads: keys, outcome: "unclear", why });
    }
    return patches.get("") ?? [];
  }

  /** Halves where the whole is too much: an invariant that asks for too much is not to take the others with it. */
  async #judgeParts(
    policy: AnalysedServer,
    judged: readonly Judged[],
    workloads: readonly Workload[],
    isSplit = false,
  ): Promise<void> {
    try {
      await this.#judgeAll(new ServerSpace([policy], questionsOf(judged)), policy, judged, workloads);
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      if (judged.length === 1 || this.#isHopeless(error, policy, isSplit)) {
        const limit = this.#complexity.blame(error, [policy]) as AnalysisLimit;
        const keys = workloads.map(({ key }) => key);
        for (const one of judged) one.findings.push(notAnalysed(keys, limit));
        return;
      }
      const middle = judged.length >> 1;
      await this.#judgeParts(policy, judged.slice(0, middle), workloads, true);
      await this.#judgeParts(policy, judged.slice(middle), workloads, true);
    }
  }

  /** Where the policies alone are too much, or enough was tried. What is not followed costs nothing. */
  #isHopeless(error: AnalysisLimit, policy: AnalysedServer, isSplit: boolean): boolean {
    if (!(error instanceof TooComplex)) return false;
    this.#retries -= 1;
    if (this.#retries < 0) return true;
    if (isSplit) return false;
    try {
      new ServerSpace([policy]).outcomes(policy);
      return false;
    } catch (alone) {
      if (!(alone instanceof AnalysisLimit)) throw alone;
      return true;
    }
  }

  #compile(workload: Workload | undefined): AnalysedServer {
    if (workload === undefined) throw new Error("BUG: a class of no workloads");
    if (workload.role !== "application")
      throw new AnalysisLimit(`a ${workload.role}'s own listeners are not analysed`);
    if (workload.dataplane === "ambient") return ambientServer(this.#mesh, workload, this.#semantics);
    return compileInbound(this.#mesh, workload, { semantics: this.#semantics });
  }

  /** All or none: what was found before a limit is not kept. */
  async #judgeAll(
    space: ServerSpace,
    policy: AnalysedServer,
    judged: readonly Judged[],
    workloads: readonly Workload[],
  ): Promise<void> {
    const keys = workloads.map(({ key }) => key);
    const outcomes = space.outcomes(policy);
    const sides: Sides = {
      possible: space.diagrams.apply(ANY, outcomes, NO),
      certain: space.diagrams.where(outcomes, YES),
      preflights: space.preflights(policy),
    };
    const told: (() => void)[] = [];
    for (const one of judged) {
      const matched = this.#subject(space, one, policy);
      const finding = await this.#findingOf(space, one.invariant, matched, sides, keys);
      const relayed =
        finding === undefined && (matched !== NO || one.invariant.claim === "only")
          ? this.#relayed(space, one.invariant, sides.possible, workloads)
          : [];
      told.push(() => {
        one.findings.push(...(finding === undefined ? relayed : [finding]));
        if (finding !== undefined) return;
        const doubted = new Set(relayed.flatMap((each) => each.workloads));
        one.proven.push(...keys.filter((key) => !doubted.has(key)));
        if (matched === NO && one.invariant.claim !== "only") one.vacuous.push(...keys);
      });
    }
    for (const tell of told) tell();
  }

  /** Where gateways or waypoints are let in as themselves: who is behind them, the server that was judged does not see. */
  #relayed(
    space: ServerSpace,
    { claim, rules }: Invariant,
    possible: Diagram,
    workloads: readonly Workload[],
  ): readonly Finding[] {
    const lets = (own: Diagram | undefined): boolean =>
      own === undefined || space.diagrams.and(possible, own) !== NO;
    const isLetIn = ({ principal, perhapsNobody }: Relay): boolean =>
      lets(principal === null ? undefined : space.from(principal)) ||
      (perhapsNobody === true && lets(space.from(null)));
    const doubts = new Map<string, string[]>();
    for (const workload of workloads) {
      const relays = relaysTo(this.#mesh, workload).filter(
        (relay) => isAboutSenders(claim, rules, relay) && isLetIn(relay),
      );
      if (relays.length === 0) continue;
      const names = relays.map(({ name }) => name).join(", ");
      doubts.set(names, [...(doubts.get(names) ?? []), workload.key]);
    }
    return [...doubts].map(([names, keys]) => ({
      workloads: keys,
      outcome: "unclear",
      why: `not analysed: who comes by ${names}, which the workload lets in as itself`,
    }));
  }

  /** What the invariant is about. Nobody is promised anything whose certificates no server takes. */
  #subject(space: ServerSpace, { invariant, rules }: Judged, server: AnalysedServer): Diagram {
    const matched = space.matching(rules);
    if (invariant.claim !== "always") return matched;
    const taken =
      "ambient" in server ? [server.ambient.trustDomain] : [...server.trustDomains, ...server.federated];
    return space.diagrams.and(matched, space.ofTrustDomains(taken));
  }

  /** Undefined: it is proven. */
  async #findingOf(
    space: ServerSpace,
    { claim }: Invariant,
    matched: Diagram,
    { possible, certain, preflights }: Sides,
    workloads: readonly string[],
  ): Promise<Finding | undefined> {
    const { diagrams } = space;
    const against = (through: Diagram): Diagram =>
      claim === "never" ? diagrams.and(through, matched) : diagrams.minus(through, matched);
    const isPromise = claim === "always";
    const wrong = isPromise ? diagrams.minus(matched, possible) : against(certain);
    if (wrong !== NO) {
      const request = this.#requestOf(space, wrong, workloads[0] ?? "");
      const witness =
        (await this.#witness(request, !isPromise)) ??
        (isPromise ? undefined : await this.#witnessOfSender(space, wrong, workloads));
      return witness === undefined
        ? {
            workloads,
            outcome: "unclear",
            why: `an example of what goes against it is answered otherwise by can: ${JSON.stringify(request)}`,
          }
        : {
            workloads,
            outcome: "violated",
            why: isPromise ? "a request that it is about is refused" : WHY_LET[claim],
            witness,
          };
    }
    const unclear = isPromise ? diagrams.minus(matched, certain) : against(possible);
    if (unclear !== NO) {
      const request = this.#requestOf(space, unclear, workloads[0] ?? "");
      const witness = await this.#witness({ ...request, extAuthz: isPromise ? "deny" : "allow" }, !isPromise);
      const why = "an external authorizer decides, which no policy tells the answers of";
      return { workloads, outcome: "unclear", why, ...(witness === undefined ? {} : { witness }) };
    }
    if (!isPromise && against(preflights) !== NO)
      return {
        workloads,
        outcome: "unclear",
        why: "a CORS preflight passes without the token that is required",
      };
    return undefined;
  }

  #requestOf(space: ServerSpace, set: Diagram, workload: string): AccessRequest {
    const { diagrams, dimensions } = space;
    const point = witnessOf(diagrams, dimensions, set);
    if (point === undefined) throw new Error("BUG: a set without any request");
    return witnessRequest(dimensions, this.#callers.settle(dimensions, point), workload);
  }

  /** From a workload that network policies let connect, where they tell senders apart. */
  async #witnessOfSender(
    space: ServerSpace,
    set: Diagram,
    workloads: readonly string[],
  ): Promise<Witness | undefined> {
    for (const key of workloads.slice(0, TRIED_SERVERS)) {
      const server = this.#mesh.workloads.find((own) => own.key === key);
      const senders = server === undefined ? null : this.#senders.to(server);
      for (const principal of senders === null ? [] : this.#principals()) {
        const own = space.diagrams.and(set, space.from(principal) ?? NO);
        if (own === NO) continue;
        const request = this.#requestOf(space, own, key);
        const workload = senders?.first(request.from?.principal ?? null, request.to.port);
        if (workload === undefined) continue;
        const witness = await this.#witness({ ...request, from: { ...request.from, workload } }, true);
        if (witness !== undefined) return witness;
      }
    }
    return undefined;
  }

  /** None, and those of the first workloads, without `spiffe://`. */
  #principals(): readonly (string | null)[] {
    const ids = new Set(this.#mesh.workloads.map(({ spiffeId }) => spiffeId.slice("spiffe://".length)));
    return [null, ...[...ids].slice(0, TRIED_SENDERS)];
  }

  /** Undefined where the decision itself does not say so: then nothing is claimed. */
  async #witness(request: AccessRequest, isAllowed: boolean): Promise<Witness | undefined> {
    const { allowed, policy, rule, cause } = await decide(this.#mesh, request, {
      semantics: this.#semantics,
      compareModes: false,
    });
    return allowed === isAllowed ? { request, allowed, policy, rule, cause } : undefined;
  }
}

/** Workloads of one class have the same policies of the mesh, and not always of the network. */
const TRIED_SERVERS = 8;
const TRIED_SENDERS = 64;

const QUESTIONS = new WeakMap<readonly Judged[], readonly RequestRules[]>();

/** One list of rules for one list of invariants: a space finds what they name once. */
function questionsOf(judged: readonly Judged[]): readonly RequestRules[] {
  const known = QUESTIONS.get(judged) ?? judged.map(({ rules }) => rules);
  QUESTIONS.set(judged, known);
  return known;
}

interface Sides {
  /** What is let through, if an authorizer allows. */
  readonly possible: Diagram;
  /** What is let through whoever is asked. */
  readonly certain: Diagram;
  readonly preflights: Diagram;
}

const WHY_LET = {
  never: "a request that it forbids is let through",
  only: "a request that it does not name is let through",
} as const;

const ANY: Operation = { name: "any", of: (outcome) => (outcome === NO ? NO : YES) };

function notAnalysed(workloads: readonly string[], limit: AnalysisLimit): Finding {
  const why = `not analysed: ${limit.message}`;
  return {
    workloads,
    outcome: "unclear",
    why,
    ...(limit instanceof TooComplex ? { isTooComplex: true } : {}),
  };
}
