import type { Grant } from "../../blast/rbac.ts";
import type { AuditContext } from "../audit-context.ts";
import { boundRights, namedSubjects, subjectsText } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsVolumes: AuditRule = {
  id: "BW0515",
  title: "A right to make volumes of nodes' folders",
  severity: "medium",
  attacks: ["C1"],
  what: "`create` on PersistentVolumes, by whatever binding of the cluster; `*` among them where the role is not all rights of the cluster (BW0520). What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "A PersistentVolume may be a `hostPath`: with a claim and a pod of the namespace it is any folder of a node, past the Pod Security Standards, which look at pods alone.",
  fix: "Leave volumes to the storage classes' provisioners.",
  claims: ["rights-over-volumes"],
  check: volumeMakers,
};

function* volumeMakers(audit: AuditContext): Iterable<Hit> {
  for (const bound of audit.fact(boundRights)) {
    const subjects = namedSubjects(audit, bound);
    if (subjects.length === 0 || bound.rights.some(({ kind }) => kind === "cluster-admin")) continue;
    if (!bound.grants.some(makesVolumes)) continue;
    yield {
      resource: bound.binding,
      path: ["roleRef"],
      title: `${subjectsText(subjects)} may create PersistentVolumes`,
    };
  }
}

const has = (list: readonly string[], one: string): boolean => list.includes(one) || list.includes("*");

function makesVolumes({ verbs, apiGroups, resources, resourceNames, namespace }: Grant): boolean {
  return (
    namespace === null &&
    resourceNames.length === 0 &&
    has(verbs, "create") &&
    has(apiGroups, "") &&
    has(resources, "persistentvolumes")
  );
}
