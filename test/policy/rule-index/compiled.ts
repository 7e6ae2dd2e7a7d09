/** Rules as the index gets them, and conditions that tell when they are asked. */
import { type CompiledRule, compileRule } from "../../../src/policy/authorization-rule.ts";
import type { RuleSpec } from "../../../src/policy/authorization-spec.ts";
import type { Condition, ConditionContext } from "../../../src/policy/condition.ts";
import type { ConditionKeys } from "../../../src/policy/rule-index/dimension.ts";

const CONTEXT: ConditionContext = {
  semantics: "strict",
  action: "DENY",
  policyNamespace: "foo",
  trustDomains: ["cluster.local"],
  federated: [],
  forwardedFor: null,
  http: true,
};

export function compiled(spec: RuleSpec, index = 0): CompiledRule {
  const rule = compileRule(spec, { namespace: "foo", name: "p" }, index, CONTEXT);
  if (rule === null) throw new Error("BUG: a DENY rule is never dropped");
  return rule;
}

export const from = (...sources: readonly object[]): RuleSpec => ({
  from: sources.map((source) => ({ source })),
});
export const to = (...operations: readonly object[]): RuleSpec => ({
  to: operations.map((operation) => ({ operation })),
});

/** Has the keys, and puts `name` on the list whenever it is asked. */
export function watched<T>(
  name: T,
  asked: T[],
  answer: boolean,
  keys: ConditionKeys | null = null,
): Condition {
  const matches = () => {
    asked.push(name);
    return answer;
  };
  return {
    field: "watched",
    values: ["x"],
    notValues: [],
    matches,
    asks: matches,
    forbids: null,
    seen: () => "",
    keys,
    notKeys: null,
  };
}

/** A rule whose sources and operations are clauses of these conditions. */
export function ruleOf(
  sources: readonly Condition[][],
  operations: readonly Condition[][] = [[]],
): CompiledRule {
  return { policy: "p", index: 0, key: "k", sources, operations };
}
