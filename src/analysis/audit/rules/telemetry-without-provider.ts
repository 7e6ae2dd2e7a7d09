import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, listOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const telemetryWithoutProvider: AuditRule = {
  id: "BW0157",
  title: "Access logs that are asked for and go nowhere",
  severity: "medium",
  same: { istio: "IST0157" },
  attacks: ["E3"],
  what: "An `accessLogging` entry of a Telemetry that is not disabled and names no provider, in a mesh whose `defaultProviders.accessLogging` is empty.",
  why: "Nothing is logged: what an attacker does leaves no trace, though the resource says otherwise.",
  fix: "Name a provider (`envoy`, or one of `extensionProviders`), or set `defaultProviders.accessLogging` of the mesh.",
  claims: ["access-logged"],
  check: unheard,
};

function* unheard(audit: AuditContext): Iterable<Hit> {
  const defaults = fieldsOf(fieldsOf(audit.mesh.config.raw).defaultProviders).accessLogging;
  if (listOf(defaults).length > 0) return;
  for (const resource of audit.every("telemetry.istio.io", "Telemetry"))
    for (const [index, { disabled, providers }] of itemsOf(fieldsOf(resource.spec).accessLogging)) {
      if (disabled === true || listOf(providers).length > 0) continue;
      yield {
        resource,
        path: ["spec", "accessLogging", index],
        title: "access logs without a provider are written by nobody",
      };
    }
}
