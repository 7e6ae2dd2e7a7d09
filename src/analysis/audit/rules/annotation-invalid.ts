import type { AuditContext } from "../audit-context.ts";
import { ANNOTATION_VALUES } from "../facts/annotation-values.ts";
import { isAtHome, writtenAnnotations } from "../facts/known-annotations.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const annotationInvalid: AuditRule = {
  id: "BW0125",
  title: "An annotation of Istio's with a value that it cannot read",
  severity: "medium",
  same: { istio: "IST0125" },
  attacks: ["M12"],
  what: "A value that the injector refuses: modes of interception, ports, ranges of addresses, interfaces, numbers, booleans, quantities, settings of the proxy. `low` for values that nobody refuses and nobody reads, of which `istioctl` says nothing: other booleans (`sidecar.istio.io/rewriteAppHTTPProbers`, `sidecar.istio.io/inject` …), percentages, durations, and JSON.",
  why: "The injector refuses the pod, or the setting is left out as if it were not written: what it was to capture, or to keep from being captured, is not.",
  fix: "Write the value as the title says.",
  claims: ["captured", "configuration-in-force"],
  check: invalidOnes,
};

function* invalidOnes(audit: AuditContext): Iterable<Hit> {
  for (const annotation of audit.fact(writtenAnnotations)) {
    const { resource, path, name, value } = annotation;
    const known = ANNOTATION_VALUES.get(name);
    if (known === undefined || known.isReadable(value) || !isAtHome(annotation)) continue;
    const what = known.isRefused ? "it must be" : "nobody reads that: it must be";
    yield {
      resource,
      path,
      ...(known.isRefused ? {} : { severity: "low" as const }),
      title: `\`${name}\` is \`${value}\`; ${what} ${known.form}`,
    };
  }
}
