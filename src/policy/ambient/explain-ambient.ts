/** Why ztunnel decides as it does, for a person. */
import type { Connection } from "../connection.ts";
import { type AmbientPolicy, decideAmbient, deciding, type L4Policy } from "./ambient-policy.ts";
import type { L4Condition } from "./l4-condition.ts";
import type { L4Entry, L4Rule } from "./l4-rule.ts";

/** Lines for a person, the decision first. */
export function explainAmbient(compiled: AmbientPolicy, connection: Connection): string[] {
  const policy = deciding(compiled, connection);
  const verdict = decideAmbient(compiled, connection);
  const head = HEADS[verdict.cause] ?? verdict.cause;
  switch (verdict.cause) {
    case "allow-matched":
    case "deny-matched":
      return [
        `${head}: ${verdict.policy} rule ${verdict.rule}`,
        ...matchedLines(verdict.cause === "allow-matched" ? policy.allow : policy.deny, verdict, connection),
      ];
    case "plaintext-refused":
      return [`${head} ${verdict.policy} requires mutual TLS on port ${connection.destinationPort}`];
    case "no-allow-matched":
      return [head, ...nearestLines(policy.allow, connection), ...droppedLines(policy.allow)];
    default:
      return [head];
  }
}

const HEADS: Readonly<Record<string, string>> = {
  "no-allow-policies":
    "allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload",
  "allow-matched": "allowed by a rule at ztunnel",
  "deny-matched": "denied by a rule at ztunnel",
  "no-allow-matched":
    "denied by ztunnel: ALLOW policies apply to the workload and none of their rules matches",
  "plaintext-refused": "denied by ztunnel: plaintext, and",
  "foreign-trust-domain":
    "refused in the handshake: the client's identity is not an account of the mesh's own trust domain (aliases do not count in ambient mode)",
  "untrusted-certificate":
    "refused in the handshake: the client's certificate is not a valid one of this mesh's authority for a workload",
  "no-listener": "refused: the port is ztunnel's own",
};

function matchedLines(
  policies: readonly L4Policy[],
  verdict: { readonly policy: string | null; readonly rule: number | null },
  connection: Connection,
): string[] {
  const rule = policies
    .find(({ policy }) => policy === verdict.policy)
    ?.rules.find(({ index }) => index === verdict.rule);
  if (rule === undefined) return [];
  const left =
    rule.dropped.length === 0 ? [] : [`ztunnel knows no ${rule.dropped.join(", ")}: the rule stands without`];
  if (rule.clauses.length === 0) return ["the rule matches everything", ...left];
  const entries = rule.clauses.flatMap(
    (clause) => clause.find((entry) => entry.length > 0 && misses(entry, connection).length === 0) ?? [],
  );
  return [...entries.map((condition) => `${wanted(condition)}: came ${condition.seen(connection)}`), ...left];
}

/** The ALLOW rule with the fewest conditions that fail, and what they wanted. */
function nearestLines(policies: readonly L4Policy[], connection: Connection): string[] {
  let best: { policy: string; rule: L4Rule; missing: readonly L4Condition[] } | undefined;
  for (const { policy, rules } of policies) {
    for (const rule of rules) {
      const missing = rule.clauses.flatMap((clause) => fewestMisses(clause, connection));
      if (best === undefined || missing.length < best.missing.length) best = { policy, rule, missing };
    }
  }
  if (best === undefined) return ["the ALLOW policies that apply have no rule that could match here"];
  const { policy, rule, missing } = best;
  return [
    `the nearest rule that would have allowed it is rule ${rule.index} of ${policy}`,
    ...missing.map((condition) => `it wants ${wanted(condition)}; came ${condition.seen(connection)}`),
  ];
}

function fewestMisses(clause: readonly L4Entry[], connection: Connection): readonly L4Condition[] {
  let fewest: readonly L4Condition[] | undefined;
  for (const entry of clause) {
    const missing = misses(entry, connection);
    if (fewest === undefined || missing.length < fewest.length) fewest = missing;
  }
  return fewest ?? [];
}

function misses(entry: L4Entry, connection: Connection): L4Condition[] {
  return entry.filter((condition) => !condition.matches(connection));
}

function droppedLines(policies: readonly L4Policy[]): string[] {
  return policies
    .filter(({ droppedRules }) => droppedRules > 0)
    .map(
      ({ policy, droppedRules }) =>
        `${policy}: ${droppedRules === 1 ? "a rule" : `${droppedRules} rules`} with HTTP attributes ${droppedRules === 1 ? "is" : "are"} dropped, as ztunnel knows none; a waypoint would enforce ${droppedRules === 1 ? "it" : "them"}`,
    );
}

function wanted({ field, values, notValues }: L4Condition): string {
  const parts = [
    ...(values.length === 0 ? [] : [`in [${values.join(", ")}]`]),
    ...(notValues.length === 0 ? [] : [`not in [${notValues.join(", ")}]`]),
  ];
  return `${field} ${parts.join(" and ")}`;
}
