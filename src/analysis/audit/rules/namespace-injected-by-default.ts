import type { AuditContext } from "../audit-context.ts";
import { injectorTakesAll, unlabelledNamespaces } from "../facts/injection-labels.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const injectedByDefault: AuditRule = {
  id: "BW0148",
  title: "A namespace that is in the mesh because the injector takes all",
  severity: "info",
  same: { istio: "IST0148" },
  attacks: [],
  what: "A namespace without a label for the injector, where `sidecarInjectorWebhook.enableNamespacesByDefault` of the injector's ConfigMap is true.",
  why: "Whether its pods are in the mesh depends on a setting that stands elsewhere: an upgrade that loses it takes the namespace out, with all its policies.",
  fix: "Label the namespace `istio-injection: enabled`.",
  claims: [],
  check: takenByDefault,
};

function* takenByDefault(audit: AuditContext): Iterable<Hit> {
  if (!audit.fact(injectorTakesAll)) return;
  for (const resource of audit.fact(unlabelledNamespaces))
    yield { resource, title: "it has no label of its own: the injector takes all" };
}
