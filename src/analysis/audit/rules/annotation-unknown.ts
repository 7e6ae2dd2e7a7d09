import { suggestion } from "../../../resources/did-you-mean.ts";
import type { AuditContext } from "../audit-context.ts";
import { KNOWN_ANNOTATIONS, writtenAnnotations } from "../facts/known-annotations.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const annotationUnknown: AuditRule = {
  id: "BW0108",
  title: "An annotation in Istio's name that Istio does not know",
  severity: "low",
  same: { istio: "IST0108" },
  attacks: ["M12"],
  what: "An annotation whose domain ends in `istio.io` that is none of Istio's (as of API 1.31), on a Namespace, Service, Pod, Deployment or template of pods.",
  why: "It has no effect, whatever its name promises.",
  fix: "Mend its name, or remove it.",
  claims: ["configuration-in-force"],
  check: unknownOnes,
};

function* unknownOnes(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, name, known } of audit.fact(writtenAnnotations)) {
    if (known !== undefined) continue;
    const meant = suggestion(name, [...KNOWN_ANNOTATIONS.keys()]);
    yield { resource, path, title: `Istio has no annotation \`${name}\`${meant === "" ? "" : `; ${meant}`}` };
  }
}
