import type { Engine } from "../engine.ts";
import { type ParsedRequest, parsed } from "../parsed-request.ts";
import type { BenchRequest, BenchRule, BenchWorkload, Rank } from "../workload.ts";

interface Rule extends BenchRule {
  readonly exact: readonly string[];
  readonly prefixes: readonly string[];
}

/** What one would write by hand: rule after rule, the likeliest miss first, no abstraction between. */
class Linear implements Engine {
  readonly #rules: readonly Rule[];
  #prepared: readonly ParsedRequest[] = [];

  constructor(rules: readonly BenchRule[]) {
    this.#rules = rules.map((rule) => ({
      ...rule,
      exact: rule.paths.filter((path) => !path.endsWith("*")),
      prefixes: rule.paths.filter((path) => path.endsWith("*")).map((path) => path.slice(0, -1)),
    }));
  }

  prepare(requests: readonly BenchRequest[]): void {
    this.#prepared = requests.map(parsed);
  }

  run(): number {
    const rules = this.#rules;
    let allowed = 0;
    for (const asked of this.#prepared) if (firstMatch(rules, asked)?.action === "ALLOW") allowed++;
    return allowed;
  }

  answer(request: BenchRequest): Rank {
    const rule = firstMatch(this.#rules, parsed(request));
    return rule === undefined ? -1 : this.#rules.indexOf(rule);
  }
}

function firstMatch(rules: readonly Rule[], asked: ParsedRequest): Rule | undefined {
  for (const rule of rules) if (matches(rule, asked)) return rule;
  return undefined;
}

function matches(rule: Rule, { connection, request }: ParsedRequest): boolean {
  if (connection.principal === null || !isAmong(rule.principals, connection.principal)) return false;
  if (!isAmong(rule.methods, request.method)) return false;
  if (!isAmong(rule.exact, request.pathOnly) && !startsWithOne(rule.prefixes, request.pathOnly)) return false;
  if (rule.role !== undefined && !hasRole(request.headers, rule.role)) return false;
  return rule.group === undefined || rule.group === request.jwt?.claims?.group;
}

function hasRole(headers: readonly string[], role: string): boolean {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === "x-role" && headers[index + 1] === role) return true;
  }
  return false;
}

function isAmong(values: readonly string[], value: string): boolean {
  for (let index = 0; index < values.length; index++) if (values[index] === value) return true;
  return false;
}

function startsWithOne(prefixes: readonly string[], value: string): boolean {
  for (let index = 0; index < prefixes.length; index++) {
    const prefix = prefixes[index];
    if (prefix !== undefined && value.startsWith(prefix)) return true;
  }
  return false;
}

export function makeLinear({ rules }: BenchWorkload): Engine {
  return new Linear(rules);
}
