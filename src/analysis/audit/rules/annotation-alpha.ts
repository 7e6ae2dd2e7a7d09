import type { AuditContext } from "../audit-context.ts";
import { writtenAnnotations } from "../facts/known-annotations.ts";
import { fieldsOf, itemsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const annotationAlpha: AuditRule = {
  id: "BW0136",
  title: "An annotation of a feature that is not finished",
  severity: "info",
  same: { istio: "IST0136" },
  attacks: [],
  what: "An annotation that istio.io/api calls alpha. On a Pod without the init container `istio-init` (the CNI plugin captures its traffic) four that the injector sets itself are passed over. `istioctl analyze` does not say this; `istioctl x precheck` does.",
  why: "It may change its meaning, or go, with any version; nothing that protects should rest on it.",
  fix: "Use a setting that is stable, where there is one.",
  claims: [],
  check: alphaOnes,
};

const SET_BY_INJECTOR = new Set([
  "sidecar.istio.io/interceptionMode",
  "traffic.sidecar.istio.io/includeInboundPorts",
  "traffic.sidecar.istio.io/excludeInboundPorts",
  "traffic.sidecar.istio.io/includeOutboundIPRanges",
]);

function* alphaOnes(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, name, kind, known } of audit.fact(writtenAnnotations)) {
    // Of templates the ones that matter are the injector's: they are read before it runs.
    if (known?.isAlpha !== true || (kind === "Pod" && resource.kind !== "Pod")) continue;
    if (kind === "Pod" && SET_BY_INJECTOR.has(name) && !hasInit(resource.body.spec)) continue;
    yield { resource, path, title: `\`${name}\` is alpha` };
  }
}

function hasInit(spec: unknown): boolean {
  return [...itemsOf(fieldsOf(spec).initContainers)].some(([, { name }]) => name === "istio-init");
}
