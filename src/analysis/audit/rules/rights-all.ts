import type { AuditContext } from "../audit-context.ts";
import { boundRights, namedSubjects, subjectsText } from "../facts/bound-rights.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsAll: AuditRule = {
  id: "BW0520",
  title: "All rights of the cluster, for a name that is not the cluster's own",
  severity: "medium",
  attacks: ["C6"],
  what: "A ClusterRoleBinding to `cluster-admin`, or to a ClusterRole with `*` on `*` of `*`; and the group `system:masters` in any binding but Kubernetes' own `cluster-admin` (`low`: it has all rights without one). What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "Whoever has the account's token, or a certificate with the name, has every Secret and every identity of the mesh, and writes its policies. Rights of `system:masters` nobody can take back but by a new CA.",
  fix: "Give a role with the verbs and resources that are needed; for people in an emergency, a binding that is made then and removed after.",
  claims: ["rights-of-all"],
  check: all,
};

const MASTERS = "system:masters";

function* all(audit: AuditContext): Iterable<Hit> {
  for (const bound of audit.fact(boundRights)) {
    const { binding, rights } = bound;
    const role = textOf(fieldsOf(binding.body.roleRef).name);
    const right = rights.find(({ kind, scope }) => kind === "cluster-admin" && scope.namespace === null);
    const subjects = right === undefined ? [] : namedSubjects(audit, bound, right);
    if (subjects.length > 0)
      yield {
        resource: binding,
        path: ["roleRef"],
        title: `${subjectsText(subjects)} has all rights of the cluster, by \`${role}\``,
      };
    const masters = bound.subjects.findIndex(({ name }) => name === MASTERS);
    if (masters >= 0 && binding.name !== "cluster-admin")
      yield {
        resource: binding,
        path: ["subjects", masters],
        severity: "low",
        title: `group \`${MASTERS}\` is bound to \`${role}\`: it has all rights without, and nobody takes them back`,
      };
  }
}
