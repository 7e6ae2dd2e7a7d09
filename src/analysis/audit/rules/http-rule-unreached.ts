import type { AuditContext } from "../audit-context.ts";
import { type Fields, fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const httpRuleUnreached: AuditRule = {
  id: "BW0643",
  title: "A rule of an HTTPRoute that no request comes to",
  severity: "medium",
  attacks: [],
  what: "Rules of HTTPRoutes and GRPCRoutes all of whose matches stand in rules before them in the same route, with the defaults of the Gateway API filled in (no `matches` is every path). That an earlier match is only wider says nothing: the narrower one goes first there, wherever it stands.",
  why: "Of equal matches the first counts: the filter, the refusal or the backend that is written here is never used.",
  fix: "Remove it, or write what tells its requests from those of the rule before.",
  claims: ["configuration-in-force"],
  check: unreached,
};

const DEFAULT_PATH = { type: "PathPrefix", value: "/" };

function* unreached(audit: AuditContext): Iterable<Hit> {
  for (const kind of ["HTTPRoute", "GRPCRoute"])
    for (const resource of audit.of("gateway.networking.k8s.io", kind)) {
      const first = new Map<string, number>();
      for (const [index, { matches }] of itemsOf(fieldsOf(resource.spec).rules)) {
        const written = [...itemsOf(matches)].map(([, match]) => match);
        const keys = (written.length === 0 ? [{}] : written).map((match) => keyOf(match, kind));
        const before = keys.map((key) => first.get(key)).filter((rule) => rule !== undefined);
        if (before.length === keys.length)
          yield {
            resource,
            path: ["spec", "rules", index],
            title: `rule ${index + 1} is never used: all that it matches is taken by rule ${[...new Set(before)].map((rule) => rule + 1).join(" and ")}`,
          };
        for (const key of keys) if (!first.has(key)) first.set(key, index);
      }
    }
}

/** Names of headers are compared without regard to case, those of parameters with it; orders say nothing. */
function keyOf({ path, headers, queryParams, method }: Fields, kind: string): string {
  const { type, value } = { ...DEFAULT_PATH, ...fieldsOf(path) };
  return JSON.stringify([
    kind === "HTTPRoute" ? [type, value] : [],
    typeof method === "object" ? Object.entries(fieldsOf(method)).sort() : method,
    pairsOf(headers, (name) => name.toLowerCase()),
    pairsOf(queryParams, (name) => name),
  ]);
}

function pairsOf(list: unknown, folded: (name: string) => string): readonly string[] {
  return [...itemsOf(list)]
    .map(([, { name, type = "Exact", value }]) => JSON.stringify([folded(textOf(name)), type, value]))
    .sort();
}
