import type { PathNormalization } from "../../../model/mesh-config.ts";
import { normalizePath } from "../../../policy/normalize-path.ts";
import { isPathTemplate } from "../../../policy/path-template.ts";
import type { AuditContext } from "../audit-context.ts";
import { enforcedRules } from "../facts/enforced-rules.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const pathNever: AuditRule = {
  id: "BW0607",
  title: "A path in a policy that no request ever has",
  severity: "high",
  attacks: ["M6"],
  what:
    "Values of `paths` and `notPaths` that nothing matches, because rules see the path as the mesh's `pathNormalization` leaves it, without query and fragment: `/a//b` where slashes are merged, " +
    "`/a%2fb` where they are decoded, `/a/../b` unless the mode is NONE, `/a?b=c`, or a path that does not begin with a slash. " +
    "And what is written as a pattern that Istio does not know, and reads letter by letter: `/a/*/b`, and regular expressions (`/a/.*`, `/a/[0-9]+`, `/(a|b)`, `/a$`). A file's name before a star (`/index.*`) is none.",
  why: "A DENY for such a path keeps nobody out, however the path is written in the request. In `notPaths` of an ALLOW, what was to be excepted is let in.",
  fix: "Write the path as it is after normalisation: `/a/b`, without query. For the query itself there is no field. Patterns are `/a/*` (what begins so), `*.json` (what ends so), and templates: `/a/{*}/b`, `/a/{**}`.",
  claims: ["policies-hold"],
  check: never,
};

function* never(audit: AuditContext): Iterable<Hit> {
  const mode = audit.mesh.config.pathNormalization;
  for (const { policy, action, index, spec } of audit.fact(enforcedRules))
    for (const [entry, { operation = {} }] of (spec.to ?? []).entries())
      for (const field of ["paths", "notPaths"] as const)
        for (const [at, value] of (operation[field] ?? []).entries()) {
          const why = whyNever(value, mode);
          if (why === undefined) continue;
          const opens = (action === "ALLOW") === (field === "notPaths");
          yield {
            resource: policy,
            path: ["spec", "rules", index, "to", entry, "operation", field, at],
            title: `${isLikePattern(value) ? "hardly any" : "no"} request has the path \`${value}\`: ${why}`,
            severity: opens ? "high" : "medium",
          };
        }
}

/** Undefined where some request has it. */
function whyNever(value: string, mode: PathNormalization): string | undefined {
  if (isPathTemplate(value) || value === "*") return undefined;
  const isSuffix = value.startsWith("*");
  const isPrefix = !isSuffix && value.endsWith("*");
  const text = isSuffix ? value.slice(1) : isPrefix ? value.slice(0, -1) : value;
  if (isLikePattern(value))
    return "it is read letter by letter, but for a star at one end, and is no pattern";
  if (/[?#]/.test(text)) return "rules see it without query and fragment";
  if (!isSuffix && text !== "" && !text.startsWith("/")) return "paths begin with a slash";
  if (isSuffix || isPrefix) return whyNotWithin(text, mode, isSuffix);
  return normalizePath(mode, text) === text ? undefined : spelled(text, mode);
}

/** A star inside, or what regular expressions are known by and paths have not. */
function isLikePattern(value: string): boolean {
  if (isPathTemplate(value)) return false;
  return /^[^*].*\*.*[^*]$|[^/]\/\.[*+]|[\w)\]][+]$|\[[^\]]+\]|\([^)]*\|[^)]*\)|\\[dwsb]|^\^|[^/]\$$/.test(
    value,
  );
}

/** What stands inside of a text stays there whatever is put before or behind, but for its ends. */
function whyNotWithin(text: string, mode: PathNormalization, isSuffix: boolean): string | undefined {
  if (mode === "NONE") return undefined;
  // `/..` may become `/..x` behind, and a text may end a segment that began before it.
  const whole = isSuffix ? `/x${text.startsWith("/") ? "" : "x"}${text}` : `${text}x`;
  // A path of slashes alone keeps two of them.
  if (/^\/+$/.test(text)) return undefined;
  return normalizePath(mode, whole) === whole ? undefined : spelled(whole, mode, text);
}

function spelled(whole: string, mode: PathNormalization, text: string = whole): string | undefined {
  const normal = normalizePath(mode, whole);
  if (normal === null) return `under ${mode} such a request is refused`;
  return text === whole
    ? `under ${mode} it becomes \`${normal}\``
    : `under ${mode} \`${text}\` does not stay in a path`;
}
