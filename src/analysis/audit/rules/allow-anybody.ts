import type { AuditContext } from "../audit-context.ts";
import { callersOf, isForAllPaths } from "../facts/callers.ts";
import { type EnforcedRule, enforcedRules, probesIn } from "../facts/enforced-rules.ts";
import { openPorts } from "../facts/plaintext-ports.ts";
import { accessRequestOf, isLetThrough } from "../facts/sample-requests.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const allowAnybody: AuditRule = {
  id: "BW0612",
  title: "An ALLOW rule for anybody and everything",
  severity: "high",
  attacks: ["M1"],
  what:
    "Rules of ALLOW policies at applications that name no caller (no `from`, no `when` about callers, or all addresses: `0.0.0.0/0`) and no paths, where a request is let in by them: `rules: [{}]`, or methods, ports and hosts alone (the caller writes the host). " +
    "Gateways, which are there for anybody, are not looked at, nor rules for certain paths, such as health checks.",
  why: "The workload is as open as without any policy; and since an ALLOW policy is there, it looks as if it were not. Where plaintext is taken, callers need not even be of the mesh.",
  fix: "Name the callers (`from: [{source: {principals: […]}}]`), or the paths that are really for anybody.",
  claims: ["least-access"],
  check: anybody,
};

function* anybody(audit: AuditContext): Iterable<Hit> {
  const { trustDomain, trustDomainAliases } = audit.mesh.config;
  for (const rule of audit.fact(enforcedRules)) {
    if (rule.action !== "ALLOW" || !isForAllPaths(rule.spec)) continue;
    if (callersOf(rule.spec, [trustDomain, ...trustDomainAliases]) !== "anybody") continue;
    const witness = letIn(audit, rule);
    if (witness !== undefined)
      yield {
        resource: rule.policy,
        path: ["spec", "rules", rule.index],
        title: `\`rules[${rule.index}]\` lets anybody ask \`${witness.to.workload}\` for anything${witness.from?.principal === null ? ", in clear" : ""}`,
        witness,
        ...(witness.from?.principal === null ? {} : { severity: "medium" }),
      };
  }
}

/** In clear, where that is possible. */
function letIn(audit: AuditContext, rule: EnforcedRule): Hit["witness"] {
  const servers = rule.classes.filter((server) => server.isSidecar || server.isAmbient);
  for (const inClear of [true, false])
    for (const server of servers)
      for (const sample of probesIn(audit, server, rule))
        for (const port of inClear ? openPorts(server, sample.port) : [sample.port]) {
          const request = { ...sample, port, ...(inClear ? { principal: null } : {}) };
          if (isLetThrough(server, request)) return accessRequestOf(request, server);
        }
  return undefined;
}
