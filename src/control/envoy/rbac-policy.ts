/** One rule of an AuthorizationPolicy as a policy of Envoy's RBAC (`config.rbac.v3.Policy`). */
import type { OperationSpec, RuleSpec, SourceSpec } from "../../policy/authorization-spec.ts";
import type { EnvoyObject } from "./envoy-object.ts";
import {
  conditionField,
  OPERATION_FIELDS,
  type RuleContext,
  type RuleField,
  SOURCE_FIELDS,
} from "./rule-fields.ts";

/** `allow`: the rule goes when any part of it cannot be asked for, else only that part: neither ever widens access. */
export interface RbacContext extends RuleContext {
  readonly allow: boolean;
  readonly http: boolean;
}

/** A field with what was written for it. */
interface Demand {
  readonly field: RuleField;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}

/** @returns null where the rule has no place in this kind of filter, or has a condition that nobody knows. */
export function rbacPolicy(rule: RuleSpec, context: RbacContext): EnvoyObject | null {
  const demands: Demand[] = [];
  for (const { key, values = [], notValues = [] } of rule.when ?? []) {
    const known = conditionField(key);
    if (known === undefined) return null;
    demands.push({ field: known, values, notValues });
  }
  const about = (side: RuleField["side"]) => demands.filter((demand) => demand.field.side === side);
  const sources = atLeastOne(rule.from ?? []).map(({ source = {} }) => [
    ...sourceDemands(source),
    ...about("principal"),
  ]);
  const operations = atLeastOne(rule.to ?? []).map(({ operation = {} }) => [
    ...operationDemands(operation),
    ...about("permission"),
  ]);
  const principals = sources.map((clause) => conjunction(clause, context, PRINCIPAL));
  const permissions = operations.map((clause) => conjunction(clause, context, PERMISSION));
  return [...principals, ...permissions].includes(null) ? null : { permissions, principals };
}

/** No entry at all asks for nothing, as one empty entry does. */
function atLeastOne<Entry extends object>(entries: readonly Entry[]): readonly Partial<Entry>[] {
  return entries.length === 0 ? [{}] : entries;
}

function sourceDemands(source: SourceSpec): Demand[] {
  return SOURCE_FIELDS.map(([name, not, field]) => ({
    field,
    values: source[name] ?? [],
    notValues: source[not] ?? [],
  }));
}

function operationDemands(operation: OperationSpec): Demand[] {
  return OPERATION_FIELDS.map(([name, not, field]) => ({
    field,
    values: operation[name] ?? [],
    notValues: operation[not] ?? [],
  }));
}

/** How permissions and principals spell the same connectives. */
interface Connectives {
  readonly and: (members: readonly EnvoyObject[]) => EnvoyObject;
  readonly or: (members: readonly EnvoyObject[]) => EnvoyObject;
  readonly not: (member: EnvoyObject) => EnvoyObject;
}

const PERMISSION: Connectives = {
  and: (rules) => ({ and_rules: { rules } }),
  or: (rules) => ({ or_rules: { rules } }),
  not: (rule) => ({ not_rule: rule }),
};
const PRINCIPAL: Connectives = {
  and: (ids) => ({ and_ids: { ids } }),
  or: (ids) => ({ or_ids: { ids } }),
  not: (id) => ({ not_id: id }),
};

function conjunction(
  demands: readonly Demand[],
  context: RbacContext,
  { and, or, not }: Connectives,
): EnvoyObject | null {
  const members: EnvoyObject[] = [];
  for (const { field, values, notValues } of demands) {
    const wanted = alternatives(field, values, context);
    const unwanted = alternatives(field, notValues, context);
    if (wanted === null || unwanted === null) return null;
    if (wanted.length > 0) members.push(or(wanted));
    if (unwanted.length > 0) members.push(not(or(unwanted)));
  }
  return and(members.length === 0 ? [{ any: true }] : members);
}

function alternatives(
  field: RuleField,
  values: readonly string[],
  context: RbacContext,
): readonly EnvoyObject[] | null {
  const impossible = field.httpOnly === true && !context.http && values.length > 0;
  const matchers = impossible ? [undefined] : field.matchers(values, context);
  const known = matchers.filter((matcher) => matcher !== undefined);
  return known.length < matchers.length && context.allow ? null : known;
}
