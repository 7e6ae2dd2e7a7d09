import type { AuditContext } from "../audit-context.ts";
import { fullHost, lookUpHost } from "../facts/known-hosts.ts";
import { knownNamespaces } from "../facts/known-namespaces.ts";
import { fieldsOf, itemsOf, textsOf } from "../facts/written.ts";
import { areServicesWritten } from "../facts/written-kinds.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const policyHostUnknown: AuditRule = {
  id: "BW0306",
  title: "A policy for the name of a service that is not there",
  severity: "low",
  same: { kiali: "KIA0104" },
  attacks: ["M6"],
  what:
    "Entries of `hosts` of AuthorizationPolicies that are the short name of a service (`orders`, `orders.shop`, with or without a port): no dot, or one and a known namespace behind it; and for which no Service, ServiceEntry or VirtualService that the policy's namespace sees stands. " +
    "Patterns, and names with more dots, may be of the world outside and are left out; `info` where the files have no Services.",
  why: "Clients that call the service send another name, so that the rule is never met: a DENY keeps nobody out. `hosts` is what the caller says, besides: whoever sends the name that is written there meets an ALLOW with it.",
  fix: "Mend the name; and say whose workload it is by the selector, not by `hosts`.",
  claims: ["policies-hold"],
  check: unknown,
};

function* unknown(audit: AuditContext): Iterable<Hit> {
  const routed = audit.fact(routedHosts);
  const hasServices = audit.fact(areServicesWritten);
  for (const resource of audit.every("security.istio.io", "AuthorizationPolicy"))
    for (const [rule, { to }] of itemsOf(fieldsOf(resource.spec).rules))
      for (const [place, { operation }] of itemsOf(to))
        for (const [index, written] of textsOf(fieldsOf(operation).hosts).entries()) {
          const host = serviceNamed(audit, written, resource.namespace);
          if (host === undefined || routed.has(host) || routed.has(written)) continue;
          if (lookUpHost(audit, host, resource.namespace) !== undefined) continue;
          if (lookUpHost(audit, written, resource.namespace) !== undefined) continue;
          yield {
            resource,
            path: ["spec", "rules", rule, "to", place, "operation", "hosts", index],
            title: `there is no service \`${written}\``,
            ...(hasServices ? {} : { severity: "info" as const }),
          };
        }
}

/** The service that a short name is of; undefined for what need not be of the mesh. */
function serviceNamed(audit: AuditContext, written: string, namespace: string): string | undefined {
  const [name = "", of, ...more] = written.replace(/:[0-9]+$/, "").split(".");
  if (name === "" || written.includes("*") || more.length > 0) return undefined;
  if (of === undefined) return fullHost(name, namespace);
  return audit.fact(knownNamespaces).names.has(of) ? fullHost(name, of) : undefined;
}

function routedHosts(audit: AuditContext): ReadonlySet<string> {
  return new Set(
    audit
      .every("networking.istio.io", "VirtualService")
      .flatMap(({ spec, namespace }) =>
        textsOf(fieldsOf(spec).hosts).flatMap((host) => [host, fullHost(host, namespace)]),
      ),
  );
}
