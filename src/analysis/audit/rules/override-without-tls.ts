import { isHostSubset } from "../../../policy/outbound/host-name.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "../facts/known-hosts.ts";
import { isMutual, wideTls } from "../facts/wide-tls.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const overrideWithoutTls: AuditRule = {
  id: "BW0308",
  title: "A DestinationRule that takes mutual TLS back by saying nothing of it",
  severity: "high",
  same: { kiali: "KIA0204" },
  attacks: ["M1", "M3"],
  what:
    "Where `enableAutoMtls` is off: DestinationRules without `tls` (of the rule or of a port) for hosts for which a rule for the whole namespace or the mesh, or another one for the same host, says ISTIO_MUTUAL or MUTUAL. The more specific rule counts as a whole: what it does not say is not taken from the other. " +
    "With `enableAutoMtls`, the default, clients use mutual TLS without being told, and nothing is lost.",
  why: "Clients call these services in clear, where everything says that the namespace is encrypted: who is on the way reads along, and a server that is PERMISSIVE does not know who calls.",
  fix: "Repeat `tls: {mode: ISTIO_MUTUAL}` in the rule; or leave `enableAutoMtls` on.",
  claims: ["mutual-tls"],
  check: overriding,
};

function* overriding(audit: AuditContext): Iterable<Hit> {
  if (audit.mesh.config.enableAutoMtls) return;
  const rules = audit.every("networking.istio.io", "DestinationRule");
  const wide = audit.fact(wideTls).filter(({ mode }) => isMutual(mode));
  const byHost = Map.groupBy(rules.filter(isMutualRule), hostOf);
  for (const resource of rules) {
    if (saysTls(resource)) continue;
    const host = hostOf(resource);
    const from =
      wide.find(({ rule }) => rule !== resource && isHostSubset(host, hostOf(rule)))?.rule ??
      byHost.get(host)?.find((rule) => rule !== resource);
    if (from !== undefined)
      yield {
        resource,
        path: ["spec", "trafficPolicy"],
        title: `\`${host}\` is called in clear: the mutual TLS of ${resourceName(from)} does not hold here`,
      };
  }
}

function hostOf({ spec, namespace }: Resource): string {
  return fullHost(textOf(fieldsOf(spec).host).toLowerCase(), namespace);
}

function isMutualRule({ spec }: Resource): boolean {
  return isMutual(textOf(fieldsOf(fieldsOf(fieldsOf(spec).trafficPolicy).tls).mode));
}

function saysTls({ spec }: Resource): boolean {
  const { tls, portLevelSettings } = fieldsOf(fieldsOf(spec).trafficPolicy);
  return tls !== undefined || [...itemsOf(portLevelSettings)].some(([, port]) => port.tls !== undefined);
}
