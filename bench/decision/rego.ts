import type { BenchRule } from "./workload.ts";

/**
 * The rules in Rego, for OPA's index: a body for each principal, whose first expression is an equality with a constant
 * (https://www.openpolicyagent.org/docs/policy-performance#use-indexed-statements). The ranks of all that match are the answer.
 */
export function regoOf(rules: readonly BenchRule[]): string {
  return ["package mesh", ...rules.flatMap(bodiesOf)].join("\n");
}

function bodiesOf({ principals, methods, paths, role, group }: BenchRule, rank: number): string[] {
  const set = (values: readonly string[]): string =>
    `{${values.map((value) => JSON.stringify(value)).join(", ")}}`;
  const exact = paths.filter((path) => !path.endsWith("*"));
  const prefixes = paths.filter((path) => path.endsWith("*")).map((path) => path.slice(0, -1));
  const rest = [
    `input.method in ${set(methods)}`,
    ...(role === undefined ? [] : [`input.role == ${JSON.stringify(role)}`]),
    ...(group === undefined ? [] : [`input.group == ${JSON.stringify(group)}`]),
  ];
  const ways = [
    ...(exact.length === 0 ? [] : [`input.path in ${set(exact)}`]),
    ...prefixes.map((prefix) => `startswith(input.path, ${JSON.stringify(prefix)})`),
  ];
  return principals.flatMap((principal) =>
    ways.map((way) =>
      [
        `matching contains ${rank} if {`,
        `  input.principal == ${JSON.stringify(principal)}`,
        ...[way, ...rest].map((line) => `  ${line}`),
        "}",
      ].join("\n"),
    ),
  );
}
