import type { AuditContext } from "../audit-context.ts";
import { selectedTwice } from "../facts/selected-twice.ts";
import { ambientSidecars, sidecarSelector } from "../facts/sidecars.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sidecarsConflict: AuditRule = {
  id: "BW0110",
  title: "Sidecars that select the same pods",
  severity: "medium",
  same: { istio: "IST0110", kiali: "KIA0003" },
  attacks: ["E1"],
  what: "Two or more Sidecars of a namespace whose `workloadSelector`s take the same pod. Pods in ambient mode have no sidecar: that is BW0167.",
  why: "One of them counts, the oldest: the other's egress listeners and its REGISTRY_ONLY are not in force.",
  fix: "Join them, or let their selectors exclude each other.",
  claims: ["configuration-in-force"],
  check: rivals,
};

function* rivals(audit: AuditContext): Iterable<Hit> {
  const ambient = audit.fact(ambientSidecars);
  const all = audit.every("networking.istio.io", "Sidecar").filter((resource) => !ambient.has(resource));
  for (const { resource, rivals, pod } of selectedTwice(audit, all, sidecarSelector))
    yield {
      resource,
      path: ["spec", "workloadSelector"],
      title: `${rivals.join(" and ")} select \`${pod.resource.name}\``,
    };
}
