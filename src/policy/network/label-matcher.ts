import type { Labels } from "../../model/mesh.ts";

/** A Kubernetes LabelSelector, compiled. All that it asks for must hold; one that asks for nothing matches everything. */
export interface LabelMatcher {
  matches(labels: Labels): boolean;
  /** `key=value` of which one must be there: where to look first. Absent: it has no such requirement. */
  readonly pinned?: readonly [key: string, value: string];
  /** Equal for selectors that ask for the same. */
  readonly text: string;
}

interface Requirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values: readonly string[];
}

/** @param selector as it was validated (label-selector.ts); undefined and `{}` match everything. */
export function compileLabelSelector(selector: unknown): LabelMatcher {
  const requirements = requirementsOf(selector);
  const pinned = requirements.find(({ operator, values }) => operator === "In" && values.length === 1);
  return {
    matches: (labels) => requirements.every((requirement) => holds(requirement, labels)),
    ...(pinned === undefined ? {} : { pinned: [pinned.key, pinned.values[0] ?? ""] as const }),
    text: requirements.map(textOf).sort().join(", "),
  };
}

function requirementsOf(selector: unknown): readonly Requirement[] {
  const { matchLabels = {}, matchExpressions = [] } = (selector ?? {}) as {
    readonly matchLabels?: Labels;
    readonly matchExpressions?: readonly Partial<Requirement>[];
  };
  return [
    ...Object.entries(matchLabels).map(
      ([key, value]): Requirement => ({ key, operator: "In", values: [value] }),
    ),
    ...matchExpressions.map(({ key = "", operator = "In", values = [] }) => ({ key, operator, values })),
  ];
}

function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

function textOf({ key, operator, values }: Requirement): string {
  const sorted = [...new Set(values)].sort();
  switch (operator) {
    case "In":
      return sorted.length === 1 ? `${key}=${sorted[0]}` : `${key} in (${sorted.join(", ")})`;
    case "NotIn":
      return `${key} not in (${sorted.join(", ")})`;
    case "Exists":
      return `has ${key}`;
    case "DoesNotExist":
      return `lacks ${key}`;
  }
}
