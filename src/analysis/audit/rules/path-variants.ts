import { isPathTemplate } from "../../../policy/path-template.ts";
import type { SampleRequest } from "../../space/request-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { type EnforcedRule, enforcedRules, probesIn } from "../facts/enforced-rules.ts";
import { exampleOf } from "../facts/probe-requests.ts";
import { accessRequestOf, arrivesAsHttp, isLetThrough } from "../facts/sample-requests.ts";
import type { ServerClass } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const pathVariants: AuditRule = {
  id: "BW0618",
  title: "A path that is denied under one spelling and let in under another",
  severity: "medium",
  attacks: ["M6"],
  what:
    "Rules of DENY policies with `paths`, and of ALLOW policies with `notPaths`, where a request for the path is refused and the same request is let in when the path is spelled in another way that " +
    "many applications take for the same one: `//admin`, `/./admin`, `/%61dmin`, and for an exact path `/admin/` and `/admin;x`. Each is asked of the compiled policy with the mesh's own `pathNormalization` " +
    "(BASE by default, which leaves double slashes). Capitals are not tried. Whether this very application takes them for the same is not known.",
  why: "The proxy compares the text, the application what it makes of it: the caller who is refused at `/admin` asks for `//admin` (CVE-2021-31920) and is served.",
  fix: "Set `pathNormalization` to MERGE_SLASHES or DECODE_AND_MERGE_SLASHES, deny `/admin*` rather than `/admin`, or say by ALLOW which paths are open.",
  claims: ["policies-hold"],
  check: variants,
};

function* variants(audit: AuditContext): Iterable<Hit> {
  for (const rule of audit.fact(enforcedRules)) {
    const field = { ALLOW: "notPaths", DENY: "paths", AUDIT: null, CUSTOM: null }[rule.action] as
      | "paths"
      | "notPaths"
      | null;
    if (field === null) continue;
    const hit = firstVariant(audit, rule, field);
    if (hit !== undefined) yield hit;
  }
}

function firstVariant(audit: AuditContext, rule: EnforcedRule, field: "paths" | "notPaths"): Hit | undefined {
  for (const [entry, { operation = {} }] of (rule.spec.to ?? []).entries())
    for (const [at, value] of (operation[field] ?? []).entries()) {
      if (value === "*" || value === "/*" || value.startsWith("*") || !value.startsWith("/")) continue;
      for (const server of rule.classes) {
        const found = variantIn(audit, server, rule, value);
        if (found === undefined) continue;
        return {
          resource: rule.policy,
          path: ["spec", "rules", rule.index, "to", entry, "operation", field, at],
          title: `\`${value}\` is refused, ${found.paths.map((path) => `\`${path}\``).join(", ")} let in`,
          witness: accessRequestOf(found.sample, server),
        };
      }
    }
  return undefined;
}

interface Found {
  readonly sample: SampleRequest;
  readonly paths: readonly string[];
}

function variantIn(
  audit: AuditContext,
  server: ServerClass,
  rule: EnforcedRule,
  value: string,
): Found | undefined {
  if (!server.isSidecar) return undefined;
  const path = exampleOf(value, "/x");
  for (const probe of probesIn(audit, server, rule)) {
    const own = { ...probe, path };
    if (!arrivesAsHttp(server, own) || isLetThrough(server, own)) continue;
    const passing = spellingsOf(value, path).filter((spelling) =>
      isLetThrough(server, { ...own, path: spelling }),
    );
    const [first] = passing;
    if (first !== undefined) return { sample: { ...own, path: first }, paths: passing };
  }
  return undefined;
}

/** None for a path without a letter to begin with. */
function spellingsOf(value: string, path: string): readonly string[] {
  const code = path.charCodeAt(1);
  const isExact = !value.endsWith("*") && !isPathTemplate(value);
  if (path.length < 2 || path.charAt(1) === "/") return [];
  return [
    ...(isExact && !path.endsWith("/") ? [`${path}/`, `${path};x`] : []),
    `/${path}`,
    `/.${path}`,
    `/%${code.toString(16)}${path.slice(2)}`,
  ];
}
