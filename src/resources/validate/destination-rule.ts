import type { CheckContext } from "./check-context.ts";
import { checkSubsetName } from "./destination.ts";
import { checkExportTo } from "./export-to.ts";
import { type Field, quoted } from "./field.ts";
import { checkWildcardHost } from "./host-names.ts";
import { checkLabels, checkSelector } from "./labels.ts";
import { checkTrafficPolicy } from "./traffic-policy.ts";

/** @see https://istio.io/latest/docs/reference/config/networking/destination-rule/ */
export function checkDestinationRule(spec: Field, { namespace }: CheckContext): void {
  checkWildcardHost(spec.at("host"));
  checkTrafficPolicy(spec.at("trafficPolicy"));
  const names = new Set<string>();
  for (const subset of spec.at("subsets").items()) {
    const name = subset.at("name");
    if (names.has(name.text))
      name.error(
        "BW1220_DUPLICATE",
        `the subset ${quoted(name.text)} stands twice`,
        "give each subset its own name",
      );
    names.add(name.text);
    checkSubsetName(name);
    checkLabels(subset.at("labels"));
    checkTrafficPolicy(subset.at("trafficPolicy"));
  }
  checkExportTo(spec.at("exportTo"), namespace, { hasWorkloadSelector: spec.at("workloadSelector").present });
  checkSelector(spec.at("workloadSelector"), "matchLabels");
}
