import type { AuditContext } from "../audit-context.ts";
import { namesPassedInClear } from "../facts/identity-gaps.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const denyByName: AuditRule = {
  id: "BW0617",
  title: "A DENY by name that whoever drops the name passes",
  severity: "high",
  same: { snowcat: "Deny with Positive Match" },
  attacks: ["M1", "E4"],
  what:
    "Rules of DENY policies that name callers (`principals`, `namespaces`, `serviceAccounts`, `trustDomains`, or these in `when`), at a workload that lets the same request in when it comes in clear: " +
    "a caller without a certificate has no name, so the rule does not match. Shown by that request. Silent where the port is STRICT, or no ALLOW takes it without an identity.",
  why: "The caller who is denied opens a connection past its own sidecar, or from a pod that has none, without mutual TLS: what is denied by name is then allowed.",
  fix: 'Have the workload be STRICT (PeerAuthentication); or deny callers without a name, too (`notPrincipals: ["*"]`); or say by ALLOW who may.',
  claims: ["policies-hold"],
  check: passedInClear,
};

function* passedInClear(audit: AuditContext): Iterable<Hit> {
  for (const { rule, path, witness } of audit.fact(namesPassedInClear))
    yield {
      resource: rule.policy,
      path,
      title: `whom \`rules[${rule.index}]\` denies gets in without mutual TLS: \`${witness.to.workload}\` takes plaintext at port ${witness.to.port}`,
      witness,
    };
}
