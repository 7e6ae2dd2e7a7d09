/** What is too complex, by name, and how often it is tried. */
import type { Condition } from "../../policy/condition.ts";
import { aspectsOf } from "./aspect.ts";
import type { AnalysedServer } from "./server-space.ts";
import { TooComplex } from "./too-complex.ts";

/** Of one command. A policy that holds for thousands of workloads must not use up the budget at each of them. */
export class Complexity {
  readonly #failures = new Map<string, number>();

  /** @throws {TooComplex} where a policy of these servers was too complex too often. */
  check(servers: readonly AnalysedServer[]): void {
    if (this.#failures.size === 0) return;
    const known = [...policiesOf(servers).keys()].find((name) => (this.#failures.get(name) ?? 0) >= TRIES);
    if (known !== undefined)
      throw new TooComplex(`${known} was so for other workloads, and is not tried again`);
  }

  /** The same failure with the policy that says most of what there is too much of; others as they are. */
  blame(error: unknown, servers: readonly AnalysedServer[]): unknown {
    if (!(error instanceof TooComplex)) return error;
    const [culprit] = [...policiesOf(servers, error.about)].toSorted(([, a], [, b]) => b - a);
    if (culprit === undefined) return error;
    const [name] = culprit;
    this.#failures.set(name, (this.#failures.get(name) ?? 0) + 1);
    return new TooComplex(error.reason, error.about, name);
  }

  /** Analyses the servers, where that has not failed too often. */
  of<T>(servers: readonly AnalysedServer[], analyse: () => T): T {
    this.check(servers);
    try {
      return analyse();
    } catch (error) {
      throw this.blame(error, servers);
    }
  }
}

/** Each costs some seconds. */
const TRIES = 6;

type Said = Pick<Condition, "field" | "values" | "notValues">;

/** `Kind namespace/name`, and how many values it names. @param about of which aspect, by its title; of any, where none is named or nothing is said of it. */
function policiesOf(servers: readonly AnalysedServer[], about?: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [policy, condition] of servers.flatMap(saidBy)) {
    if (about !== undefined && !aspectsOf(condition.field).some(({ title }) => title === about)) continue;
    const { values, notValues } = condition;
    counts.set(policy, (counts.get(policy) ?? 0) + values.length + notValues.length);
  }
  return counts.size === 0 && about !== undefined ? policiesOf(servers) : counts;
}

function saidBy(server: AnalysedServer): readonly (readonly [policy: string, condition: Said])[] {
  if ("ambient" in server)
    return [...server.ambient.deny, ...server.ambient.allow].flatMap(({ policy, rules }) =>
      rules.flatMap(({ clauses }) => clauses.flat(2).map((condition) => [policy, condition] as const)),
    );
  const { custom, broken, deny, allow } = server.http;
  return [custom?.set, broken, deny, allow]
    .flatMap((set) => set?.rules ?? [])
    .flatMap(({ rule }) =>
      [...rule.sources, ...rule.operations].flat().map((condition) => [rule.policy, condition] as const),
    );
}
