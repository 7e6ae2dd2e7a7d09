import type { AuditContext } from "../audit-context.ts";
import { isAtHome, writtenAnnotations } from "../facts/known-annotations.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const annotationMisplaced: AuditRule = {
  id: "BW0107",
  title: "An annotation of Istio's where nobody reads it",
  severity: "low",
  same: { istio: "IST0107" },
  attacks: ["M12"],
  what: "An annotation that Istio knows, on a Namespace, Service, Pod, Deployment or template of pods, of a kind that it does not stand for. An annotation for pods belongs on the template (`spec.template.metadata`), not on the Deployment.",
  why: "It has no effect: a port that somebody believes captured, or left alone, is not.",
  fix: "Move it to a resource of the kind that is named.",
  claims: ["configuration-in-force"],
  check: misplaced,
};

function* misplaced(audit: AuditContext): Iterable<Hit> {
  for (const annotation of audit.fact(writtenAnnotations)) {
    const { resource, path, name, kind, known } = annotation;
    if (known === undefined || isAtHome(annotation)) continue;
    yield {
      resource,
      path,
      title: `\`${name}\` stands on a ${kind}; it is for ${known.kinds.join(" and ")}`,
    };
  }
}
