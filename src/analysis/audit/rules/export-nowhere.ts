import type { AuditContext } from "../audit-context.ts";
import { knownNamespaces } from "../facts/known-namespaces.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const exportNowhere: AuditRule = {
  id: "BW0304",
  title: "An `exportTo` that names a namespace that is not there",
  severity: "low",
  same: { kiali: "KIA0005" },
  attacks: ["M11"],
  what: "Entries of `exportTo` of DestinationRules, VirtualServices and ServiceEntries that are no Namespace of the files, and in which none of their resources is; `.`, `*` and `~` are left out. `info` where the files have no Namespaces at all.",
  why: "Those whom it was written for do not see the route, the TLS settings or the host, and go by the defaults; whoever makes a namespace of that name sees it.",
  fix: "Mend the name, or remove the entry.",
  claims: ["configuration-in-force"],
  check: nowhere,
};

const KINDS = ["DestinationRule", "VirtualService", "ServiceEntry"] as const;
const NO_NAMES = new Set([".", "*", "~"]);

function* nowhere(audit: AuditContext): Iterable<Hit> {
  const { names, areWritten } = audit.fact(knownNamespaces);
  for (const kind of KINDS)
    for (const resource of audit.every("networking.istio.io", kind))
      for (const [index, name] of textsOf(fieldsOf(resource.spec).exportTo).entries())
        if (!NO_NAMES.has(name) && !names.has(name))
          yield {
            resource,
            path: ["spec", "exportTo", index],
            title: `there is no namespace \`${name}\` to export to`,
            ...(areWritten ? {} : { severity: "info" as const }),
          };
}
