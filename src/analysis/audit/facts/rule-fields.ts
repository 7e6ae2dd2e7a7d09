/** The fields of an AuthorizationPolicy's rules, flat: which of them name what is meant, and which what is not. */
import type { FieldPath } from "../../../resources/resource.ts";
import { type Fields, fieldsOf, itemsOf, listOf, textsOf } from "./written.ts";

export interface RuleField {
  /** `notPaths`; of conditions, the key. */
  readonly name: string;
  readonly values: readonly string[];
  readonly path: FieldPath;
  readonly isNegative: boolean;
  /** Whether the same clause says what is meant by the same attribute, too. */
  readonly hasPositive: boolean;
}

/** Of sources, operations and conditions, in the order in which they stand. Empty lists are as good as none. */
export function operationFieldsOf(spec: unknown): readonly RuleField[] {
  const found: RuleField[] = [];
  for (const [index, rule] of itemsOf(fieldsOf(spec).rules)) {
    const at = ["spec", "rules", index];
    for (const [place, { source }] of itemsOf(rule.from))
      found.push(...clauseFields(fieldsOf(source), [...at, "from", place, "source"]));
    for (const [place, { operation }] of itemsOf(rule.to))
      found.push(...clauseFields(fieldsOf(operation), [...at, "to", place, "operation"]));
    for (const [place, condition] of itemsOf(rule.when))
      found.push(...conditionFields(condition, [...at, "when", place]));
  }
  return found;
}

function clauseFields(clause: Fields, at: FieldPath): RuleField[] {
  return Object.entries(clause).flatMap(([name, written]) => {
    const values = textsOf(written);
    if (values.length === 0) return [];
    const isNegative = /^not[A-Z]/.test(name);
    const positive = isNegative ? `${name.charAt(3).toLowerCase()}${name.slice(4)}` : name;
    return [
      { name, values, path: [...at, name], isNegative, hasPositive: listOf(clause[positive]).length > 0 },
    ];
  });
}

function conditionFields({ key, values, notValues }: Fields, at: FieldPath): RuleField[] {
  const name = typeof key === "string" ? key : "";
  const positive = textsOf(values);
  const negative = textsOf(notValues);
  const hasPositive = positive.length > 0;
  return [
    ...(hasPositive
      ? [{ name, values: positive, path: [...at, "values"], isNegative: false, hasPositive }]
      : []),
    ...(negative.length > 0
      ? [
          {
            name: `notValues of ${name}`,
            values: negative,
            path: [...at, "notValues"],
            isNegative: true,
            hasPositive,
          },
        ]
      : []),
  ];
}

/** Whether a path is that of a field, or of something in it. */
export function isWithin(path: FieldPath, outer: FieldPath): boolean {
  return outer.every((part, at) => path[at] === part);
}
