import type { AuditContext } from "../audit-context.ts";
import { INTERNAL_GATEWAY } from "../facts/broken-references.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayInternal: AuditRule = {
  id: "BW0165",
  title: "A VirtualService at a gateway that Istio makes for itself",
  severity: "low",
  same: { istio: "IST0165" },
  attacks: [],
  what: "A name in `gateways` of the form that Istio gives to what it makes of Gateways of the Gateway API.",
  why: "The name is no promise: the routes are gone with the next version, and what they refuse passes.",
  fix: "Use an HTTPRoute with a `parentRef` to the Gateway.",
  claims: ["configuration-in-force"],
  check: internal,
};

function* internal(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "VirtualService"))
    for (const [index, name] of textsOf(fieldsOf(resource.spec).gateways).entries())
      if (name.includes(INTERNAL_GATEWAY))
        yield { resource, path: ["spec", "gateways", index], title: `\`${name}\` is Istio's own name` };
}
