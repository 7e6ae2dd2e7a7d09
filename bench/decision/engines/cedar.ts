import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Engine } from "../engine.ts";
import type { BenchRequest, BenchRule, BenchWorkload, Rank } from "../workload.ts";

interface Uid {
  readonly type: string;
  readonly id: string;
}

interface Call {
  readonly principal: Uid;
  readonly action: Uid;
  readonly resource: Uid;
  readonly context: Readonly<Record<string, string>>;
  readonly preparsedPolicySetId: string;
  readonly entities: readonly never[];
}

interface Answer {
  readonly type: "success" | "failure";
  readonly response?: {
    readonly decision: "allow" | "deny";
    readonly diagnostics: { readonly reason: readonly string[]; readonly errors: readonly unknown[] };
  };
}

/** As far as it is used here: the package is installed for the benchmark alone. */
interface CedarWasm {
  preparsePolicySet(id: string, policies: object): { readonly type: string };
  statefulIsAuthorized(call: Call): Answer;
}

const SET = "bench";

/** Cedar's own WebAssembly build, its policies parsed before. */
class Cedar implements Engine {
  readonly #wasm: CedarWasm;
  #calls: readonly Call[] = [];

  constructor(wasm: CedarWasm) {
    this.#wasm = wasm;
  }

  prepare(requests: readonly BenchRequest[]): void {
    this.#calls = requests.map(callOf);
  }

  run(): number {
    let allowed = 0;
    for (const call of this.#calls) {
      if (this.#wasm.statefulIsAuthorized(call).response?.decision === "allow") allowed++;
    }
    return allowed;
  }

  /** Cedar names all policies that decide; ours is the first of them. */
  answer(request: BenchRequest): Rank {
    const { response } = this.#wasm.statefulIsAuthorized(callOf(request));
    if (response === undefined || response.diagnostics.errors.length > 0) throw new Error("Cedar failed");
    const ranks = response.diagnostics.reason.map((id) => Number(id.slice(1)));
    return ranks.length === 0 ? -1 : Math.min(...ranks);
  }
}

function callOf({ principal, method, path, role, group }: BenchRequest): Call {
  return {
    principal: { type: "Account", id: principal },
    action: { type: "Action", id: method },
    resource: { type: "Workload", id: "orders" },
    context: { path, role, group },
    preparsedPolicySetId: SET,
    entities: [],
  };
}

function policyOf({ action, principals, methods, paths, role, group }: BenchRule): string {
  const list = (values: readonly string[], of = ""): string =>
    `[${values.map((value) => of + JSON.stringify(value)).join(", ")}]`;
  const exact = paths.filter((path) => !path.endsWith("*"));
  const conditions = [
    `${list(principals, "Account::")}.contains(principal)`,
    [
      ...(exact.length === 0 ? [] : [`${list(exact)}.contains(context.path)`]),
      ...paths
        .filter((path) => path.endsWith("*"))
        .map((path) => `context.path like ${JSON.stringify(path)}`),
    ].join(" || "),
    ...(role === undefined ? [] : [`context.role == ${JSON.stringify(role)}`]),
    ...(group === undefined ? [] : [`context.group == ${JSON.stringify(group)}`]),
  ];
  const effect = action === "ALLOW" ? "permit" : "forbid";
  const when = conditions.map((condition) => `(${condition})`).join(" && ");
  return `${effect}(principal, action in ${list(methods, "Action::")}, resource) when { ${when} };`;
}

/** @param modules the folder that rivals are installed in. */
export function makeCedar(modules: string): (workload: BenchWorkload) => Promise<Engine> {
  return async ({ rules }) => {
    const file = join(modules, "@cedar-policy/cedar-wasm/nodejs/cedar_wasm.js");
    const loaded = (await import(pathToFileURL(file).href)) as { default: CedarWasm };
    const staticPolicies = Object.fromEntries(rules.map((rule, rank) => [`p${rank}`, policyOf(rule)]));
    const parsed = loaded.default.preparsePolicySet(SET, { staticPolicies });
    if (parsed.type !== "success") throw new Error(`Cedar refuses the policies: ${JSON.stringify(parsed)}`);
    return new Cedar(loaded.default);
  };
}
