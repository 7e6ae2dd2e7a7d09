import type { AuditContext } from "../audit-context.ts";
import { compiledIn, type EnforcedRule, enforcedRules, probesIn } from "../facts/enforced-rules.ts";
import { asksForIdentity, isIdentityKey, openPorts } from "../facts/plaintext-ports.ts";
import { accessRequestOf, isLetThrough, isMatched } from "../facts/sample-requests.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const denyByName: AuditRule = {
  id: "BW0617",
  title: "A DENY by name that whoever drops the name passes",
  severity: "high",
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
  for (const rule of audit.fact(enforcedRules)) {
    if (rule.action !== "DENY" || !isAboutNames(rule)) continue;
    const witness = inClear(audit, rule);
    if (witness !== undefined)
      yield {
        resource: rule.policy,
        path: ["spec", "rules", rule.index],
        title: `whom \`rules[${rule.index}]\` denies gets in without mutual TLS: \`${witness.to.workload}\` takes plaintext at port ${witness.to.port}`,
        witness,
      };
  }
}

function isAboutNames({ spec: { from = [], when = [] } }: EnforcedRule): boolean {
  return (
    from.some(({ source }) => source !== undefined && asksForIdentity(source)) ||
    when.some(({ key, values = [] }) => isIdentityKey(key) && values.length > 0)
  );
}

function inClear(audit: AuditContext, rule: EnforcedRule): Hit["witness"] {
  for (const server of rule.classes) {
    const compiled = compiledIn(server, rule);
    if (server.inbound.gateway !== null || compiled === undefined) continue;
    for (const sample of probesIn(audit, server, rule)) {
      if (!isMatched(compiled, server, sample)) continue;
      for (const port of openPorts(server, sample.port)) {
        const clear = { ...sample, port, principal: null };
        const named = { ...clear, principal: sample.principal };
        if (!isMatched(compiled, server, named) || isMatched(compiled, server, clear)) continue;
        if (isLetThrough(server, clear)) return accessRequestOf(clear, server);
      }
    }
  }
  return undefined;
}
