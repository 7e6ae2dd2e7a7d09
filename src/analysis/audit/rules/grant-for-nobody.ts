import type { AuditContext } from "../audit-context.ts";
import { knownNamespaces } from "../facts/known-namespaces.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const grantForNobody: AuditRule = {
  id: "BW0319",
  title: "A ReferenceGrant for a namespace that is not there",
  severity: "medium",
  same: { kiali: "KIA1601" },
  attacks: ["M11"],
  what: "Entries of `from` of ReferenceGrants whose namespace is no Namespace of the files, and in which none of their resources is. `info` where the files have no Namespaces at all.",
  why: "Whoever makes a namespace of that name may refer to what the grant is for: lead traffic to its Services, or serve TLS by its Secrets.",
  fix: "Mend the name, or remove the entry.",
  claims: ["hosts-owned"],
  check: forNobody,
};

function* forNobody(audit: AuditContext): Iterable<Hit> {
  const { names, areWritten } = audit.fact(knownNamespaces);
  for (const resource of audit.every("gateway.networking.k8s.io", "ReferenceGrant"))
    for (const [index, { namespace }] of itemsOf(fieldsOf(resource.spec).from)) {
      const name = textOf(namespace);
      if (name === "" || names.has(name)) continue;
      yield {
        resource,
        path: ["spec", "from", index, "namespace"],
        title: `there is no namespace \`${name}\``,
        ...(areWritten ? {} : { severity: "info" as const }),
      };
    }
}
