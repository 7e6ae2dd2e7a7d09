import { isDryRun } from "../../../policy/authorization.ts";
import type { AuditContext } from "../audit-context.ts";
import { classesByPolicy, type ServerClass } from "../facts/server-classes.ts";
import { actionOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const onlyObserved: AuditRule = {
  id: "BW0622",
  title: "A policy that only watches, where nothing else decides",
  severity: "medium",
  attacks: [],
  what:
    'AuthorizationPolicies with action AUDIT, or with the annotation `istio.io/dry-run: "true"` (but for CUSTOM, which denies then), at workloads that no policy decides about: none that is enforced selects them. ' +
    "Where another policy is enforced beside it, nothing is told.",
  why: "It reads as if it protected the workload. Everything is let in.",
  fix: "Take the annotation away once its records show what was expected; beside AUDIT, say by ALLOW who may.",
  claims: ["policies-hold"],
  check: observed,
};

function* observed(audit: AuditContext): Iterable<Hit> {
  const byPolicy = audit.fact(classesByPolicy);
  for (const resource of audit.mesh.authorizationPolicies) {
    if (!isWatching(resource)) continue;
    const open = (byPolicy.get(resource) ?? []).find((server) => !isDecidedAbout(server));
    if (open === undefined) continue;
    const isDry = isDryRun(resource);
    yield {
      resource,
      path: isDry ? ["metadata", "annotations", "istio.io/dry-run"] : ["spec", "action"],
      title: `${isDry ? "in dry run, it" : "AUDIT"} decides nothing, and no other policy does about \`${open.workload.key}\``,
    };
  }
}

function isWatching(policy: ServerClass["authorization"][number]): boolean {
  const action = actionOf(policy.spec);
  return action === "AUDIT" || (isDryRun(policy) && action !== "CUSTOM");
}

function isDecidedAbout({ authorization }: ServerClass): boolean {
  return authorization.some((policy) => !isWatching(policy));
}
