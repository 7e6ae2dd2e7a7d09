import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { actionOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const loaderWarning: AuditRule = {
  id: "BW0133",
  title: "What Istio takes, and warns of",
  severity: "low",
  same: { istio: "IST0133" },
  attacks: [],
  what:
    "Every warning of Istio's own validation about a resource that takes part (the BW13xx of docs/diagnostics.md), but for routes that are never used (BW0130). " +
    "High where a DENY names what nothing matches, or an ALLOW excepts it; and for private or shared keys among those that tokens are verified by.",
  why: "The resource is in force, and does something else than it seems to say.",
  fix: "As each warning says.",
  claims: ["configuration-in-force"],
  check: warned,
};

const UNREACHABLE = "BW1304_UNREACHABLE_ROUTE";

const NEVER_MATCHES = "BW1322_NEVER_MATCHES";
/** Whoever reads the file makes tokens of any user. */
const PRIVATE_JWK = "BW1303_PRIVATE_JWK";

function* warned({ warnings, mesh }: AuditContext): Iterable<Hit> {
  const denying = new Set(
    mesh.authorizationPolicies.filter(({ spec }) => actionOf(spec) === "DENY").map(resourceName),
  );
  for (const { code, severity, message, resource, span, help } of warnings) {
    if (severity !== "warning" || !code.startsWith("BW13") || code === UNREACHABLE || resource === undefined)
      continue;
    yield {
      place: { name: resource, span },
      title: `${code}: ${message}`,
      ...(isGrave(code, message, denying.has(resource)) ? { severity: "high" as const } : {}),
      ...(help === undefined ? {} : { fix: help }),
    };
  }
}

/** What a DENY names in vain stays let in, as does what an ALLOW excepts in vain. */
function isGrave(code: string, message: string, isDeny: boolean): boolean {
  if (code === PRIVATE_JWK) return true;
  const isExcepted = /^`[^`]*\.not[A-Z]\w*\[/.test(message);
  return code === NEVER_MATCHES && isDeny !== isExcepted;
}
