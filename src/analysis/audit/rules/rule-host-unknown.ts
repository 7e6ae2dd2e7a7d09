import type { AuditContext } from "../audit-context.ts";
import { lookUpHost } from "../facts/known-hosts.ts";
import { fieldsOf, textOf, textsOf } from "../facts/written.ts";
import { areServicesWritten } from "../facts/written-kinds.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ruleHostUnknown: AuditRule = {
  id: "BW0174",
  title: "A DestinationRule for a host that is not there",
  severity: "medium",
  same: { istio: "IST0174", kiali: "KIA0202" },
  attacks: ["M3", "M11"],
  what: "A `host` that is neither a Service nor a ServiceEntry that the rule's namespace sees. A wildcard is held against wildcards of ServiceEntries; one over the Services of the mesh or of a namespace (`*.local`, `*.shop.svc.cluster.local`), which `istioctl` reports, is in force, and `info` here.",
  why: "Its TLS settings are in force for nobody: what was to be encrypted is not.",
  fix: "Mend the host, or remove the rule.",
  claims: ["configuration-in-force"],
  check: unknownHosts,
};

function* unknownHosts(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "DestinationRule")) {
    const { host, exportTo } = fieldsOf(resource.spec);
    if (lookUpHost(audit, textOf(host), resource.namespace, textsOf(exportTo)) !== undefined) continue;
    if (isPatternOfServices(textOf(host))) {
      yield {
        resource,
        path: ["spec", "host"],
        severity: "info",
        title: `\`${textOf(host)}\` is a pattern of Services, which \`istioctl\` takes for a host that is not there`,
        why: "Nothing is open by it: the rule is in force for the Services that the pattern fits, whatever `istioctl analyze` says.",
        fix: "Leave it as it is, or name the hosts.",
      };
      continue;
    }
    if (!audit.fact(areServicesWritten)) {
      yield {
        resource,
        path: ["spec", "host"],
        severity: "info",
        title: `the files have no Service \`${textOf(host)}\``,
      };
      continue;
    }
    yield { resource, path: ["spec", "host"], title: `there is no host \`${textOf(host)}\`` };
  }
}

/** `*.local`, `*.shop.svc.cluster.local`: proxies hold every Service's name against it. */
function isPatternOfServices(host: string): boolean {
  return host === "*" || (host.startsWith("*.") && /(^|\.)local$/.test(host.slice(2)));
}
