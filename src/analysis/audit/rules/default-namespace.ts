import type { AuditContext } from "../audit-context.ts";
import { judgedPods } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const defaultNamespace: AuditRule = {
  id: "BW0523",
  title: "Workloads in the namespace `default`",
  severity: "low",
  attacks: ["C1"],
  what: "Pods, or what makes them, in the namespace `default`: one finding, at the first, where it is accepted for all.",
  why: "Whatever is applied without a thought about where lands there: it shares with the rest the labels and policies of a namespace that nobody owns, and the accounts, Secrets and rights in it.",
  fix: "Give each team or application a namespace of its own.",
  claims: ["default-namespace-unused"],
  check: crowded,
};

function* crowded(audit: AuditContext): Iterable<Hit> {
  const pods = audit.fact(judgedPods).filter(({ namespace }) => namespace === "default");
  const [first] = pods;
  if (first === undefined) return;
  const many = pods.length === 1 ? "" : ` and ${pods.length - 1} more`;
  yield { resource: first.resource, title: `\`${first.resource.name}\`${many} in the namespace \`default\`` };
}
