import type { AuditContext } from "../audit-context.ts";
import { podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";
import { SUPPRESS_ANNOTATION, suppressionsOf } from "../suppression.ts";

const ID = "BW0002";

/** @param others all other rules, by which it is known what can be suppressed */
export const suppressionVoidBeside = (others: readonly AuditRule[]): AuditRule => ({
  id: ID,
  title: "A suppression that suppresses nothing",
  severity: "low",
  attacks: [],
  what: `Entries of the annotation \`${SUPPRESS_ANNOTATION}\` that are past their last day, are not written as \`RULE until DAY: reason\`, or name a rule that there is not; and the annotation on a pod template, where nobody reads it.`,
  why: "Whoever wrote it believes that the finding has been dealt with. It is reported again.",
  fix: "Mend what was accepted; or look at it again, and give a new day and a reason.",
  claims: [],
  check: (audit) => voidSuppressions(audit, new Set<string>([...others.map(({ id }) => id), ID])),
});

function* voidSuppressions(audit: AuditContext, known: ReadonlySet<string>): Iterable<Hit> {
  const path = ["metadata", "annotations", SUPPRESS_ANNOTATION];
  for (const resource of audit.mesh.resources) {
    if (resource.annotations[SUPPRESS_ANNOTATION] === undefined) continue;
    const { problems, held } = suppressionsOf(resource, audit.settings.now);
    for (const { line, problem } of problems) yield { resource, path, title: `\`${line}\` ${problem}` };
    for (const { rule } of held)
      if (!known.has(rule)) yield { resource, path, title: `there is no rule \`${rule}\`` };
  }
  for (const { resource, annotations, at } of audit.fact(podsOf))
    if (at.length > 1 && annotations[SUPPRESS_ANNOTATION] !== undefined)
      yield {
        resource,
        path: [...at.slice(0, -1), ...path],
        title: `on the pod template nobody reads it: it belongs to the ${resource.kind}`,
      };
}
