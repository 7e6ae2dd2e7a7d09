import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const tokenWithoutEnd: AuditRule = {
  id: "BW0867",
  title: "A Secret with a token of an account that never ends",
  severity: "medium",
  attacks: ["E4", "C6"],
  what: "Secrets of type `kubernetes.io/service-account-token`, which the cluster fills in; those of the cluster's own namespaces (`kube-…`) are left out. Istio's tokens for remote clusters (`istio-reader`) are `info`: they are made so.",
  why: "The token is good for as long as the account is there, from any address, for every audience: whoever reads the Secret once is the account for ever. istiod signs certificates for it, too, where tokens of any audience are taken.",
  fix: "Delete it; have pods mount a token with an end (`serviceAccountToken` of a projected volume), or ask for one (`kubectl create token`).",
  claims: [],
  check: tokens,
};

const ACCOUNT = "kubernetes.io/service-account.name";

function* tokens(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.of("", "Secret")) {
    if (resource.body.type !== "kubernetes.io/service-account-token") continue;
    if (resource.namespace.startsWith("kube-")) continue;
    const account = resource.annotations[ACCOUNT] ?? "";
    yield {
      resource,
      path: ["type"],
      ...(account.startsWith("istio-reader") ? { severity: "info" as const } : {}),
      title: `it is the token of account \`${resource.namespace}/${account}\`, without an end`,
    };
  }
}
