import type { AuditContext } from "../audit-context.ts";
import { INJECTION_LABEL } from "../facts/injection-labels.ts";
import { type WrittenAnnotation, writtenAnnotations } from "../facts/known-annotations.ts";
import type { Edit, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const annotationDeprecated: AuditRule = {
  id: "BW0135",
  title: "An annotation that Istio is giving up",
  severity: "info",
  same: { istio: "IST0135" },
  attacks: [],
  what: "An annotation that istio.io/api marks as deprecated. `sidecar.istio.io/inject` is passed over where the label of the same name stands beside it.",
  why: "A later version will not read it any more, and says nothing.",
  fix: "Use what has replaced it; for `sidecar.istio.io/inject` that is the label of the same name, which `--fix` puts beside it where the pods are injected, or not, as before.",
  claims: [],
  check: deprecatedOnes,
};

const INJECT = "sidecar.istio.io/inject";

function* deprecatedOnes(audit: AuditContext): Iterable<Hit> {
  for (const annotation of audit.fact(writtenAnnotations)) {
    const { resource, path, name, labels, known } = annotation;
    if (known?.isDeprecated !== true || (name === INJECT && labels[INJECT] !== undefined)) continue;
    yield {
      resource,
      path,
      title: `\`${name}\` is deprecated`,
      ...(isSameAsLabel(audit, annotation) ? { edits: [asLabel(annotation)] } : {}),
    };
  }
}

/** The webhook selects pods by labels alone: `true` is the same where the namespace's own have it asked, `false` everywhere. */
function isSameAsLabel(audit: AuditContext, { kind, name, value, resource }: WrittenAnnotation): boolean {
  if (name !== INJECT || kind !== "Pod") return false;
  if (value === "false") return true;
  const own = audit.of("", "Namespace").find((namespace) => namespace.name === resource.namespace)?.labels;
  return value === "true" && own?.[INJECTION_LABEL] === "enabled";
}

function asLabel({ resource, path, value }: WrittenAnnotation): Edit {
  return { edit: "set", resource, path: [...path.slice(0, -2), "labels", INJECT], value };
}
