import type { AuditContext } from "../audit-context.ts";
import { boundRights, EVERYBODY } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsEverybody: AuditRule = {
  id: "BW0511",
  title: "Rights that lead on, for everybody who has a name",
  severity: "high",
  attacks: ["C1", "C6"],
  what: "A binding for `system:authenticated`, `system:serviceaccounts` or `system:serviceaccounts:NAMESPACE` with a right that leads to others: reading Secrets, creating pods or running commands in them, tokens, roles, impersonation, webhooks, nodes, certificates; `critical` where it is all rights of the cluster. Rights over the mesh's own policies and settings count, too.",
  why: "Every pod that mounts its token has it: one application that is taken over is enough.",
  fix: "Bind the accounts that need it, by name.",
  claims: ["rights-of-nobody"],
  check: everybody,
};

function* everybody(audit: AuditContext): Iterable<Hit> {
  for (const { binding, subjects, rights } of audit.fact(boundRights)) {
    const index = subjects.findIndex(({ name }) => EVERYBODY.test(name));
    const [right] = rights;
    if (index < 0 || right === undefined) continue;
    yield {
      resource: binding,
      path: ["subjects", index],
      ...(right.kind === "cluster-admin" ? { severity: "critical" } : {}),
      title: `every account in \`${subjects[index]?.name}\` may ${right.text}${right.scope.namespace === null ? "" : ` in \`${right.scope.namespace}\``}`,
    };
  }
}
