import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const defaultAccount: AuditRule = {
  id: "BW0850",
  title: "Workloads that share the account of whoever has none",
  severity: "medium",
  attacks: ["C1", "M3"],
  what: "Workloads of the mesh that run as the service account `default`: one finding a namespace, with how many there are; `low` where it is one alone, which shares its identity with what is added later.",
  why: "They have one identity and one key. No policy tells them apart, what one may all may, and each can stand in for the others' services.",
  fix: "Give each workload a ServiceAccount of its own, and set `automountServiceAccountToken: false` on `default`.",
  claims: ["own-accounts"],
  check: nameless,
};

function* nameless(audit: AuditContext): Iterable<Hit> {
  const shared = audit.mesh.workloads.filter(
    ({ serviceAccount, role, dataplane, kind }) =>
      serviceAccount === "default" &&
      role === "application" &&
      dataplane !== "none" &&
      kind !== "WorkloadEntry",
  );
  for (const [namespace, workloads] of Map.groupBy(shared, (workload) => workload.namespace)) {
    const [first, second] = workloads;
    if (first === undefined) continue;
    yield {
      resource: first.resource,
      ...(second === undefined ? { severity: "low" as const } : {}),
      title:
        second === undefined
          ? `\`${first.key}\` runs as the account \`default\` of \`${namespace}\``
          : `${workloads.length} workloads of \`${namespace}\` are one identity, \`default\`: \`${first.key}\`, \`${second.key}\`${workloads.length > 2 ? ", …" : ""}`,
    };
  }
}
