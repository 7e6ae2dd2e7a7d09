import type { AuditContext } from "../audit-context.ts";
import { writtenAnnotations } from "../facts/known-annotations.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const annotationDeprecated: AuditRule = {
  id: "BW0135",
  title: "An annotation that Istio is giving up",
  severity: "info",
  same: { istio: "IST0135" },
  attacks: [],
  what: "An annotation that istio.io/api marks as deprecated. `sidecar.istio.io/inject` is passed over where the label of the same name stands beside it.",
  why: "A later version will not read it any more, and says nothing.",
  fix: "Use what has replaced it; for `sidecar.istio.io/inject` that is the label of the same name.",
  claims: [],
  check: deprecatedOnes,
};

const INJECT = "sidecar.istio.io/inject";

function* deprecatedOnes(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, name, labels, known } of audit.fact(writtenAnnotations)) {
    if (known?.isDeprecated !== true || (name === INJECT && labels[INJECT] !== undefined)) continue;
    yield { resource, path, title: `\`${name}\` is deprecated` };
  }
}
