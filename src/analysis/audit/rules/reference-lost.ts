import type { AuditContext } from "../audit-context.ts";
import { brokenReferences } from "../facts/broken-references.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const referenceLost: AuditRule = {
  id: "BW0101",
  title: "A name of something that is not there",
  severity: "medium",
  same: { istio: "IST0101" },
  attacks: ["M11"],
  what: "Namespaces that an AuthorizationPolicy names; selectors of Gateways, Sidecars and Telemetries that take no pod; Secrets that a Gateway's server names, in the namespace of its pods; hosts, ports, subsets and gateways that a VirtualService names. `info` where the files have nothing of that kind at all: then it probably stands elsewhere.",
  why: "The rule is not what it looks like: it grants to nobody, sends to nowhere, or waits for whoever makes something of that name, and gets the traffic or the access.",
  fix: "Mend the name, or remove what refers to it.",
  claims: ["configuration-in-force"],
  check: lost,
};

function* lost(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, type, name, isKindUnknown } of audit.fact(brokenReferences))
    yield {
      resource,
      path,
      title: `there is no ${type} \`${name}\``,
      ...(isKindUnknown ? { severity: "info" as const } : {}),
      ...(type === "namespace" && !path.includes("notNamespaces") ? { kiali: "KIA0101" } : {}),
    };
}
