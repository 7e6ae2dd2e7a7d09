import type { AuditContext } from "../audit-context.ts";
import { type BrokenReference, brokenReferences } from "../facts/broken-references.ts";
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
  for (const reference of audit.fact(brokenReferences)) {
    const { resource, path, isKindUnknown } = reference;
    const kiali = codeOf(reference);
    yield {
      resource,
      path,
      title: titleOf(reference),
      ...(isKindUnknown ? { severity: "info" as const } : {}),
      ...(kiali === undefined ? {} : { kiali }),
    };
  }
}

function titleOf({ resource, type, name }: BrokenReference): string {
  if (type !== "selector") return `there is no ${type} \`${name}\``;
  const where = resource.kind === "Gateway" ? "" : ` of \`${resource.namespace}\``;
  return `no pod${where} has the labels \`${name}\``;
}

/** Kiali has a code for each kind of name. */
function codeOf({ resource, path, type }: BrokenReference): string | undefined {
  if (type === "namespace") return path.includes("notNamespaces") ? undefined : "KIA0101";
  if (type === "selector") return resource.kind === "Gateway" ? "KIA0302" : "KIA0004";
  return { host: "KIA1101", "host+subset in destinationrule": "KIA1107", gateway: "KIA1102" }[type];
}
