import type { AuditContext } from "../audit-context.ts";
import { unselectiveTwice } from "../facts/selected-twice.ts";
import { ambientSidecars, isForAll } from "../facts/sidecars.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sidecarsForAll: AuditRule = {
  id: "BW0111",
  title: "Sidecars for a whole namespace that are not alone",
  severity: "medium",
  same: { istio: "IST0111", kiali: "KIA0002" },
  attacks: ["E1"],
  what: "Two or more Sidecars of a namespace without a `workloadSelector`. In an ambient namespace that is BW0167.",
  why: "One of them counts, the oldest: the other's egress listeners and its REGISTRY_ONLY are not in force.",
  fix: "Join them.",
  claims: ["configuration-in-force"],
  check: rivals,
};

function* rivals(audit: AuditContext): Iterable<Hit> {
  const ambient = audit.fact(ambientSidecars);
  const all = audit.every("networking.istio.io", "Sidecar").filter((resource) => !ambient.has(resource));
  for (const { resource, rivals } of unselectiveTwice(all, isForAll))
    yield { resource, title: `${rivals.join(" and ")} are for all of \`${resource.namespace}\`` };
}
