import type { AuditContext } from "../audit-context.ts";
import { lookUpHost } from "../facts/known-hosts.ts";
import { fieldsOf, itemsOf, textsOf } from "../facts/written.ts";
import { areServicesWritten } from "../facts/written-kinds.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sidecarHostUnknown: AuditRule = {
  id: "BW0313",
  title: "A Sidecar that lets out to a host that is not there",
  severity: "low",
  same: { kiali: "KIA1004" },
  attacks: ["E1", "M11"],
  what: "Hosts of a Sidecar's `egress` (`ns/host`), patterns apart, that are neither a Service nor a ServiceEntry that the Sidecar's namespace sees. Short names are none: Istio compares whole ones here. `info` where the files have no Services.",
  why: "What it was meant for is not reached. Whoever makes a ServiceEntry of that name says where the pods' traffic goes, and past REGISTRY_ONLY.",
  fix: "Mend the host, or remove it.",
  claims: ["configuration-in-force"],
  check: unknown,
};

function* unknown(audit: AuditContext): Iterable<Hit> {
  const hasServices = audit.fact(areServicesWritten);
  for (const resource of audit.every("networking.istio.io", "Sidecar"))
    for (const [at, { hosts }] of itemsOf(fieldsOf(resource.spec).egress))
      for (const [index, written] of textsOf(hosts).entries()) {
        const [, scope = "", host = ""] = /^([^/]*)\/(.+)$/.exec(written) ?? [];
        if (host === "" || host.includes("*") || scope === "~") continue;
        if (isThere(audit, resource.namespace, host)) continue;
        yield {
          resource,
          path: ["spec", "egress", at, "hosts", index],
          title: `there is no host \`${host}\``,
          ...(hasServices ? {} : { severity: "info" as const }),
        };
      }
}

function isThere(audit: AuditContext, namespace: string, host: string): boolean {
  return host.includes(".") && lookUpHost(audit, host, namespace) !== undefined;
}
