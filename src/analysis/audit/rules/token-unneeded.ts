import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { boundRights } from "../facts/bound-rights.ts";
import { judgedPods } from "../facts/pod-security.ts";
import type { AuditedPod } from "../facts/pods.ts";
import { textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const tokenUnneeded: AuditRule = {
  id: "BW0522",
  title: "A token of the API server in pods whose account has no right there",
  severity: "low",
  attacks: ["C1"],
  what: "Service accounts whose token is mounted into pods (neither the pod nor the account says `automountServiceAccountToken: false`), and that no binding of the files gives a right, by name or by the group of the namespace's accounts. One finding an account, with how many workloads run as it. Files without a single binding of RBAC are not judged; Istio's components and Kubernetes' namespaces are left out. Proxies do not need it: they have a token of their own.",
  why: "Whoever takes over the process has a name at the API server: what everybody with a name may do, what somebody binds later, and, until it ends, from anywhere.",
  fix: "Set `automountServiceAccountToken: false` on the ServiceAccount.",
  claims: ["tokens-needed"],
  check: mounted,
};

function* mounted(audit: AuditContext): Iterable<Hit> {
  const bindings = audit.fact(boundRights);
  if (bindings.length === 0) return;
  const bound = new Set(
    bindings.flatMap(({ subjects }) =>
      subjects.map(({ kind, name, namespace }) =>
        kind === "ServiceAccount" ? `${namespace}/${name}` : name,
      ),
    ),
  );
  const accounts = new Map(
    audit.of("", "ServiceAccount").map((account) => [`${account.namespace}/${account.name}`, account]),
  );
  const pods = audit.fact(judgedPods);
  for (const [key, own] of Map.groupBy(pods, accountOf)) {
    const account = accounts.get(key);
    const [namespace = ""] = key.split("/");
    if (bound.has(key) || bound.has(`system:serviceaccounts:${namespace}`)) continue;
    const mounting = own.filter((pod) => mounts(pod, account));
    const [first] = mounting;
    if (first === undefined) continue;
    const many = mounting.length === 1 ? "" : ` and ${mounting.length - 1} more`;
    yield {
      resource: account ?? first.resource,
      title: `account \`${key}\` has no right, and its token is in \`${first.resource.name}\`${many}`,
    };
  }
}

function accountOf({ namespace, spec }: AuditedPod): string {
  return `${namespace}/${textOf(spec.serviceAccountName) || textOf(spec.serviceAccount) || "default"}`;
}

/** What the pod says wins. */
function mounts({ spec }: AuditedPod, account: Resource | undefined): boolean {
  const said = spec.automountServiceAccountToken ?? account?.body.automountServiceAccountToken;
  return said !== false;
}
