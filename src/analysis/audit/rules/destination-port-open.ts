import type { AuditContext } from "../audit-context.ts";
import { lookUpHost } from "../facts/known-hosts.ts";
import { routeDestinations } from "../facts/route-destinations.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const destinationPortOpen: AuditRule = {
  id: "BW0112",
  title: "A route to a host of several ports that names none",
  severity: "low",
  same: { istio: "IST0112" },
  attacks: ["M11"],
  what: "A destination without `port` whose host, a Service or a ServiceEntry, has more than one.",
  why: "Which port is meant is not said: requests go to the port that they came for, or nowhere.",
  fix: "Add `port.number`.",
  claims: ["configuration-in-force"],
  check: unnamed,
};

function* unnamed(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, host, port } of audit.fact(routeDestinations)) {
    if (port !== undefined) continue;
    const known = lookUpHost(audit, host, resource.namespace, textsOf(fieldsOf(resource.spec).exportTo));
    if (known === undefined || known.ports.length < 2) continue;
    yield { resource, path, title: `\`${host}\` has ports ${known.ports.join(", ")}, and none is named` };
  }
}
