import type { AuditContext } from "../audit-context.ts";
import {
  applicationNamespaces,
  DATAPLANE_LABEL,
  INJECTION_LABEL,
  REVISION_LABEL,
} from "../facts/injection-labels.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const manyInjectionLabels: AuditRule = {
  id: "BW0123",
  title: "A namespace whose labels contradict each other on how it is in the mesh",
  severity: "medium",
  same: { istio: "IST0123" },
  attacks: ["M12"],
  what: "A namespace with more than one of `istio-injection`, `istio.io/rev` and `istio.io/dataplane-mode`. `istio-injection: disabled` beside another is said to be meant.",
  why: "`istio-injection` wins over a revision, so that an upgrade by revision leaves the pods with the old proxy, and sidecars win over ambient: what runs is not what the label says.",
  fix: "Leave the one label that is meant.",
  claims: ["captured"],
  check: contradictions,
};

function* contradictions(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.fact(applicationNamespaces)) {
    const { labels } = resource;
    const injection = labels[INJECTION_LABEL];
    const others =
      injection === undefined || injection === "enabled" ? [REVISION_LABEL, DATAPLANE_LABEL] : [];
    const said = [INJECTION_LABEL, ...others].filter((label) => labels[label] !== undefined);
    if (said.length < 2) continue;
    yield {
      resource,
      path: ["metadata", "labels"],
      title: said.map((label) => `\`${label}: ${labels[label]}\``).join(" and "),
    };
  }
}
