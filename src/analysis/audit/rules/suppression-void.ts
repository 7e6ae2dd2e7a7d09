import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";
import { SUPPRESS_ANNOTATION, suppressionsOf } from "../suppression.ts";

export const suppressionVoid: AuditRule = {
  id: "BW0002",
  title: "A suppression that suppresses nothing",
  severity: "low",
  attacks: [],
  what: `Entries of the annotation \`${SUPPRESS_ANNOTATION}\` that are past their last day, or are not written as \`RULE until DAY: reason\`.`,
  why: "Whoever wrote it believes that the finding has been dealt with. It is reported again.",
  fix: "Mend what was accepted; or look at it again, and give a new day and a reason.",
  claims: [],
  check: voidSuppressions,
};

function* voidSuppressions({ mesh, settings }: AuditContext): Iterable<Hit> {
  for (const resource of mesh.resources) {
    if (resource.annotations[SUPPRESS_ANNOTATION] === undefined) continue;
    for (const { line, problem } of suppressionsOf(resource, settings.now).problems)
      yield {
        resource,
        path: ["metadata", "annotations", SUPPRESS_ANNOTATION],
        title: `\`${line}\` ${problem}`,
      };
  }
}
