import type { BenchRequest, BenchRule, BenchWorkload } from "./workload.ts";

/** What differs between sets of rules. */
export interface Shape {
  /** Accounts that the rules are about; absent: as many as rules. */
  readonly accounts?: number;
  /** Paths are prefixes (`/api/r17/*`). */
  readonly prefixes?: boolean;
}

type Unnamed = Omit<BenchRule, "policy" | "index">;

const METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"];
const DENY_EVERY = 25;
const CONDITION_EVERY = 10;
const RULES_IN_POLICY = 20;

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * Rules on one workload: 1–3 principals, methods and paths each, every tenth with a condition on a header or claim, every
 * 25th a DENY; and requests, half of them allowed, of which one in eight by the last rule of all.
 */
export function generateWorkload(rules: number, requests: number, shape: Shape, seed: number): BenchWorkload {
  const random = randomFrom(seed);
  const generated = inOrder(
    Array.from({ length: rules }, (_, number) => generateRule(number, rules, shape, random)),
  );
  const byPrincipal = new Map<string, BenchRule[]>();
  for (const rule of generated) {
    for (const principal of rule.principals) {
      const own = byPrincipal.get(principal);
      if (own === undefined) byPrincipal.set(principal, [rule]);
      else own.push(rule);
    }
  }
  const isAllowed = (request: BenchRequest): boolean =>
    byPrincipal.get(request.principal)?.find((rule) => matches(rule, request))?.action === "ALLOW";
  const made: BenchRequest[] = [];
  while (made.length < requests) {
    const wanted = made.length % 2 === 0;
    const request = generateRequest(generated, wanted, random);
    if (isAllowed(request) === wanted) made.push(request);
  }
  return { rules: generated, requests: shuffled(made, random) };
}

function generateRule(
  number: number,
  rules: number,
  { accounts = Math.max(rules, 10), prefixes = false }: Shape,
  random: (below: number) => number,
): Unnamed {
  const some = (make: (index: number) => string, below: number): string[] => [
    ...new Set(Array.from({ length: 1 + random(3) }, () => make(random(below)))),
  ];
  const conditioned = number % CONDITION_EVERY === CONDITION_EVERY - 1;
  const value = `v${random(20)}`;
  return {
    action: number % DENY_EVERY === DENY_EVERY - 1 ? "DENY" : "ALLOW",
    principals: some(accountName, accounts),
    methods: some((index) => METHODS[index] ?? "GET", METHODS.length),
    paths: some((index) => `/api/v1/resource-${index}/${prefixes ? "*" : "items"}`, Math.max(rules * 2, 20)),
    ...(!conditioned ? {} : number % 20 === 9 ? { role: value } : { group: value }),
  };
}

function accountName(index: number): string {
  return `cluster.local/ns/team-${index % 97}/sa/account-${index}`;
}

/** As Istio orders them: DENY decides before ALLOW, and within both names do. A policy has one action. */
function inOrder(rules: readonly Unnamed[]): BenchRule[] {
  const sizes = new Map<string, number>();
  const named = rules.map((rule, number): BenchRule => {
    const group = `${Math.floor(number / RULES_IN_POLICY)}`.padStart(5, "0");
    const policy = `${rule.action === "DENY" ? "refuse" : "grant"}-${group}`;
    const index = sizes.get(policy) ?? 0;
    sizes.set(policy, index + 1);
    return { ...rule, policy, index };
  });
  return named.sort((a, b) => compare(b.action, a.action) || compare(keyOf(a), keyOf(b)));
}

function keyOf({ policy, index }: BenchRule): string {
  return `ns[shop]-policy[${policy}]-rule[${index}]`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function matches(rule: BenchRule, request: BenchRequest): boolean {
  const { principal, method, path } = request;
  return (
    rule.principals.includes(principal) &&
    rule.methods.includes(method) &&
    rule.paths.some((own) => (own.endsWith("*") ? path.startsWith(own.slice(0, -1)) : path === own)) &&
    (rule.role === undefined || rule.role === request.role) &&
    (rule.group === undefined || rule.group === request.group)
  );
}

const LAST_RULE_EVERY = 8;

function generateRequest(
  rules: readonly BenchRule[],
  allowed: boolean,
  random: (below: number) => number,
): BenchRequest {
  const last = rules.length - 1;
  const denying = rules.findIndex(({ action }) => action === "ALLOW");
  const at = allowed && random(LAST_RULE_EVERY) === 0 ? last : random(rules.length);
  const satisfied = satisfy(rules[at], random);
  const other = satisfy(rules[random(rules.length)], random);
  if (allowed) return satisfied;
  switch (random(denying > 0 ? 5 : 4)) {
    case 0:
      return { ...satisfied, principal: accountName(10_000_000 + random(1000)) };
    case 1:
      return { ...satisfied, path: other.path };
    case 2:
      return { ...satisfied, method: "OPTIONS" };
    case 3:
      return { ...satisfied, role: "none", group: "none" };
    default:
      return satisfy(rules[random(denying)], random);
  }
}

function satisfy(rule: BenchRule | undefined, random: (below: number) => number): BenchRequest {
  if (rule === undefined) throw new Error("no rules");
  const one = (values: readonly string[]): string => values[random(values.length)] ?? "";
  return {
    principal: one(rule.principals),
    method: one(rule.methods),
    path: one(rule.paths).replace("*", `item-${random(100_000)}`),
    role: rule.role ?? "none",
    group: rule.group ?? "none",
  };
}

function shuffled<T>(items: readonly T[], random: (below: number) => number): T[] {
  const order = [...items];
  for (let left = order.length - 1; left > 0; left--) {
    const place = random(left + 1);
    const [a, b] = [order[left], order[place]];
    if (a !== undefined && b !== undefined) [order[left], order[place]] = [b, a];
  }
  return order;
}
