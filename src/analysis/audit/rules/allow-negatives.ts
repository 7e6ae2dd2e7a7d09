import type { AuditContext } from "../audit-context.ts";
import { exclusionsInClear } from "../facts/identity-gaps.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const allowNegatives: AuditRule = {
  id: "BW0616",
  title: "An ALLOW rule that says who may not, and so lets in who has no name",
  severity: "high",
  same: { snowcat: "Allow with Negative Match" },
  attacks: ["M1"],
  what:
    "Rules of ALLOW policies with a source that names callers by `notPrincipals`, `notNamespaces`, `notServiceAccounts` or `notTrustDomains` alone, at a workload with a port that takes plaintext: " +
    'a caller without a certificate has none of these names, so it matches. Shown by a request in clear that is let through. Silent where every port is STRICT, or another field keeps such requests out, and about `notPrincipals: ["*"]`, which says in so many words that callers without a certificate are meant.',
  why: "Whoever is kept out by name calls again without mutual TLS, from a pod without a sidecar or past its own, and is let in (ISTIO-SECURITY-2021-004).",
  fix: 'Say who may, not who may not; or add `principals: ["*"]` beside it, which asks for a certificate; and have the workload be STRICT.',
  claims: ["least-access"],
  check: negatives,
};

function* negatives(audit: AuditContext): Iterable<Hit> {
  for (const { rule, path, witness } of audit.fact(exclusionsInClear))
    yield {
      resource: rule.policy,
      path,
      title: `\`rules[${rule.index}]\` lets in callers without any identity: it only says who is not meant`,
      witness,
    };
}
