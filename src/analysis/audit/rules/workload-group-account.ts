import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, labelsOf, selectorText, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const workloadGroupAccount: AuditRule = {
  id: "BW0320",
  title: "WorkloadGroups whose machines get an identity that nobody made, or each other's",
  severity: "medium",
  same: { kiali: "KIA1701" },
  attacks: ["E4"],
  what: "WorkloadGroups whose `template.serviceAccount` no ServiceAccount of their namespace is (`default` is always there; `info` where the files have no accounts of that namespace); and groups of one namespace that give the same labels (`KIA1702`).",
  why: "The machine gets no certificate, and the way out is to do without; or whoever may make the account decides what it may do. Of groups with equal labels, policies and Services take the machines of one for the other's.",
  fix: "Make the account, or mend the name; give each group labels of its own.",
  claims: ["own-accounts"],
  check: groups,
};

function* groups(audit: AuditContext): Iterable<Hit> {
  const accounts = audit.every("", "ServiceAccount");
  const known = new Set(accounts.map(({ namespace, name }) => `${namespace}/${name}`));
  const withAccounts = new Set(accounts.map(({ namespace }) => namespace));
  const all = audit.every("networking.istio.io", "WorkloadGroup");
  for (const resource of all) {
    const account = textOf(fieldsOf(fieldsOf(resource.spec).template).serviceAccount);
    if (account === "" || account === "default" || known.has(`${resource.namespace}/${account}`)) continue;
    yield {
      resource,
      path: ["spec", "template", "serviceAccount"],
      title: `there is no account \`${account}\` in \`${resource.namespace}\``,
      ...(withAccounts.has(resource.namespace) ? {} : { severity: "info" as const }),
    };
  }
  const alike = Map.groupBy(all, (group) => `${group.namespace} ${labelText(group)}`);
  for (const rivals of alike.values())
    for (const resource of rivals) {
      const others = rivals.filter((one) => one !== resource).map(resourceName);
      if (labelText(resource) !== "" && others.length > 0)
        yield {
          resource,
          path: ["spec", "metadata", "labels"],
          kiali: "KIA1702",
          severity: "low",
          title: `\`${labelText(resource)}\`: also ${others.slice(0, 3).join(", ")}`,
        };
    }
}

function labelText({ spec }: Resource): string {
  return selectorText(labelsOf(fieldsOf(fieldsOf(spec).metadata).labels));
}
