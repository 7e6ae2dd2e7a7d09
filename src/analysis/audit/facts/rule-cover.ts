/** Whether one rule asks for no more than another, as a look at their fields shows: cheap, and never wrong where it says so. */
import type { Clause, CompiledRule } from "../../../policy/authorization-rule.ts";
import type { Condition } from "../../../policy/condition.ts";

/** Whether every request that `inner` matches is matched by `outer`, both of one action and one kind of chain. */
export function coversRule(outer: CompiledRule, inner: CompiledRule): boolean {
  const isOneNamespace = namespaceOf(outer) === namespaceOf(inner);
  const covers = (wide: readonly Clause[], narrow: readonly Clause[]): boolean =>
    narrow.every((clause) => wide.some((other) => coversClause(other, clause, isOneNamespace)));
  return covers(outer.sources, inner.sources) && covers(outer.operations, inner.operations);
}

/** `AuthorizationPolicy ns/name` */
function namespaceOf({ policy }: CompiledRule): string {
  return policy.slice(policy.indexOf(" ") + 1).split("/")[0] ?? "";
}

function coversClause(outer: Clause, inner: Clause, isOneNamespace: boolean): boolean {
  return outer.every((asked) =>
    inner.some(
      (own) =>
        own.field === asked.field &&
        // Short names of accounts are of the policy's own namespace.
        (isOneNamespace || !/serviceAccount/i.test(own.field)) &&
        implies(own, asked),
    ),
  );
}

function implies(own: Condition, asked: Condition): boolean {
  const isWithin = own.values.length > 0 && own.values.every((value) => asked.values.includes(value));
  return (
    (asked.values.length === 0 || isWithin) && asked.notValues.every((value) => own.notValues.includes(value))
  );
}
