import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const roleWildcards: AuditRule = {
  id: "BW0521",
  title: "A role with wildcards",
  severity: "low",
  attacks: ["C6"],
  what: "`*` among the verbs, the resources or the API groups of a rule of a Role or ClusterRole; `medium` where verbs and resources both have it. One finding a role. Kubernetes' own (`cluster-admin`, `system:…`, `kubeadm:…`) are left out.",
  why: "It gives what nobody has thought of: verbs such as `escalate` and `impersonate`, subresources such as `pods/exec`, and every kind that is installed later.",
  fix: "Name the verbs, resources and groups that are needed.",
  claims: ["rights-named"],
  check: wildcards,
};

const OWN = /^(system:|kubeadm:|cluster-admin$)/;
const FIELDS = ["verbs", "resources", "apiGroups"] as const;

function* wildcards(audit: AuditContext): Iterable<Hit> {
  const group = "rbac.authorization.k8s.io";
  for (const resource of [...audit.of(group, "ClusterRole"), ...audit.of(group, "Role")]) {
    if (OWN.test(resource.name)) continue;
    const found = [...itemsOf(fieldsOf(resource.body).rules)].map(([index, rule]) => ({
      index,
      fields: FIELDS.filter((field) => textsOf(rule[field]).includes("*")),
    }));
    const isGrave = ({ fields }: (typeof found)[number]) =>
      fields.includes("verbs") && fields.includes("resources");
    const worst = found.find(isGrave) ?? found.find(({ fields }) => fields.length > 0);
    const [first] = worst?.fields ?? [];
    if (worst === undefined || first === undefined) continue;
    yield {
      resource,
      path: ["rules", worst.index, first],
      ...(isGrave(worst) ? { severity: "medium" } : {}),
      title: `rule ${worst.index + 1} has \`*\` for ${worst.fields.map((field) => `\`${field}\``).join(", ")}`,
    };
  }
}
