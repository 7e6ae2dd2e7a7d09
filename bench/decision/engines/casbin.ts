import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Engine, freshRequest } from "../engine.ts";
import type { BenchRequest, BenchRule, BenchWorkload, Rank } from "../workload.ts";

/** As far as it is used here: the package is installed for the benchmark alone. */
interface Enforcer {
  addPolicies(rules: string[][]): Promise<boolean>;
  addFunction(name: string, test: (value: string, list: string) => boolean): Promise<void>;
  enforceSync(...values: string[]): boolean;
  enforceExSync(...values: string[]): [boolean, string[]];
}

interface CasbinModule {
  newModelFromString(text: string): object;
  newEnforcer(model: object): Promise<Enforcer>;
}

/** The first policy that matches decides, as in Istio once DENY stands first. */
const MODEL = `
[request_definition]
r = sub, act, obj, role, group
[policy_definition]
p = sub, act, obj, role, group, rank, eft
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = isAmong(r.sub, p.sub) && isAmong(r.act, p.act) && isPath(r.obj, p.obj) && (p.role == "any" || p.role == r.role) && (p.group == "any" || p.group == r.group)
`;

const SEPARATOR = "|";

class Casbin implements Engine {
  readonly #enforcer: Enforcer;
  #prepared: readonly BenchRequest[] = [];

  constructor(enforcer: Enforcer) {
    this.#enforcer = enforcer;
  }

  prepare(requests: readonly BenchRequest[]): void {
    this.#prepared = requests.map(freshRequest);
  }

  run(): number {
    let allowed = 0;
    for (const { principal, method, path, role, group } of this.#prepared) {
      if (this.#enforcer.enforceSync(principal, method, path, role, group)) allowed++;
    }
    return allowed;
  }

  answer({ principal, method, path, role, group }: BenchRequest): Rank {
    const [, rule] = this.#enforcer.enforceExSync(principal, method, path, role, group);
    return rule.length === 0 ? -1 : Number(rule[5]);
  }
}

function lineOf({ action, principals, methods, paths, role, group }: BenchRule, rank: number): string[] {
  const lists = [principals, methods, paths].map((values) => values.join(SEPARATOR));
  return [...lists, role ?? "any", group ?? "any", String(rank), action === "ALLOW" ? "allow" : "deny"];
}

/** @param modules the folder that rivals are installed in. */
export function makeCasbin(modules: string): (workload: BenchWorkload) => Promise<Engine> {
  return async ({ rules }) => {
    const loaded = (await import(
      pathToFileURL(join(modules, "casbin/lib/cjs/index.js")).href
    )) as CasbinModule;
    const enforcer = await loaded.newEnforcer(loaded.newModelFromString(MODEL));
    const lists = new Map<string, readonly string[]>();
    const listOf = (text: string): readonly string[] => {
      const known = lists.get(text) ?? text.split(SEPARATOR);
      lists.set(text, known);
      return known;
    };
    await enforcer.addFunction("isAmong", (value, list) => listOf(list).includes(value));
    await enforcer.addFunction("isPath", (value, list) =>
      listOf(list).some((path) =>
        path.endsWith("*") ? value.startsWith(path.slice(0, -1)) : path === value,
      ),
    );
    await enforcer.addPolicies(rules.map(lineOf));
    return new Casbin(enforcer);
  };
}
