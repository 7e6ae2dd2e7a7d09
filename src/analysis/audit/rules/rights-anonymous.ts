import type { Resource } from "../../../resources/resource.ts";
import type { Grant } from "../../blast/rbac.ts";
import type { AuditContext } from "../audit-context.ts";
import { ANONYMOUS, boundRights } from "../facts/bound-rights.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsAnonymous: AuditRule = {
  id: "BW0510",
  title: "Rights for whoever has no name",
  severity: "high",
  attacks: ["C6"],
  what: "A binding for `system:anonymous` or `system:unauthenticated` that gives anything but what every cluster gives away: the API server's health and version, and the ConfigMap `cluster-info` of `kube-public`, by which nodes join. `critical` where it is a right that leads to others (Secrets, pods, roles, tokens …).",
  why: "Whoever reaches the API server has it, without a token or a certificate.",
  fix: "Remove the binding, and set `--anonymous-auth=false`, or allow anonymous requests for the paths of health checks alone (AuthenticationConfiguration).",
  claims: ["rights-of-nobody"],
  check: anonymous,
};

const PUBLIC_PATHS = /^\/(healthz|livez|readyz|version)(\/|$)/;

function* anonymous(audit: AuditContext): Iterable<Hit> {
  for (const { binding, subjects, grants, rights } of audit.fact(boundRights)) {
    const index = subjects.findIndex(({ name }) => ANONYMOUS.has(name));
    // A role that no file has: what it gives is not known, but for those that every cluster has.
    if (index < 0 || (grants.length > 0 && grants.every(isPublic)) || HARMLESS.has(roleOf(binding))) continue;
    const [right] = rights;
    yield {
      resource: binding,
      path: ["subjects", index],
      ...(right === undefined ? {} : { severity: "critical" }),
      title: `\`${subjects[index]?.name}\` ${right === undefined ? `has the role \`${roleOf(binding)}\`` : `may ${right.text}`}`,
    };
  }
}

const HARMLESS: ReadonlySet<string> = new Set([
  "system:public-info-viewer",
  "kubeadm:bootstrap-signer-clusterinfo",
]);

function roleOf({ body }: Resource): string {
  return textOf(fieldsOf(body.roleRef).name);
}

function isPublic({ verbs, resources, resourceNames, nonResourceUrls, namespace }: Grant): boolean {
  if (resources.length === 0)
    return verbs.join() === "get" && nonResourceUrls.every((url) => PUBLIC_PATHS.test(url));
  return (
    namespace === "kube-public" &&
    verbs.join() === "get" &&
    resources.join() === "configmaps" &&
    resourceNames.join() === "cluster-info"
  );
}
