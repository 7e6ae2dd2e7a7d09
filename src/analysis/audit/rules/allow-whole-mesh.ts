import type { AuditContext } from "../audit-context.ts";
import { callersOf, isForAllPaths } from "../facts/callers.ts";
import { enforcedRules } from "../facts/enforced-rules.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const allowWholeMesh: AuditRule = {
  id: "BW0613",
  title: "An ALLOW rule for every identity of the mesh and everything",
  severity: "medium",
  attacks: ["C1"],
  what:
    'Rules of ALLOW policies at applications whose callers are all that have a certificate (`principals: ["*"]`, `<trust domain>/*`, `namespaces: ["*"]`, the mesh\'s own `trustDomains`; the same in `when`), and that leave paths open. ' +
    "Rules with a further condition on callers are not told, nor those for certain paths.",
  why: "Whatever is compromised anywhere in the mesh may ask this workload for anything: the rule keeps out nobody who has got in.",
  fix: "Name the accounts or namespaces that call it; `bulwark tighten` proposes them from logged traffic.",
  claims: ["least-access"],
  check: wholeMesh,
};

function* wholeMesh(audit: AuditContext): Iterable<Hit> {
  const { trustDomain, trustDomainAliases } = audit.mesh.config;
  for (const { policy, action, index, spec, classes } of audit.fact(enforcedRules)) {
    if (action !== "ALLOW" || !classes.some((server) => server.isSidecar || server.isAmbient)) continue;
    if (!isForAllPaths(spec) || callersOf(spec, [trustDomain, ...trustDomainAliases]) !== "mesh") continue;
    yield {
      resource: policy,
      path: ["spec", "rules", index],
      title: `\`rules[${index}]\` lets every workload of the mesh ask for anything`,
    };
  }
}
