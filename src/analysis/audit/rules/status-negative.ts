import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const statusNegative: AuditRule = {
  id: "BW0171",
  title: "A resource of which the cluster itself says that it is not in force",
  severity: "high",
  same: { istio: "IST0171", kiali: "GWAPI" },
  attacks: ["M9"],
  what: "Resources with their status, as `kubectl get -o yaml` gives them: Services, ServiceEntries and WorkloadEntries that are not bound to their waypoint, AuthorizationPolicies that ztunnel or a waypoint has not taken, or only in part, Gateways and routes that are not accepted, programmed or resolved.",
  why: "The policy or route is there and does nothing: what it was to refuse passes by.",
  fix: "Read the reason that the status gives, and mend that.",
  claims: ["policies-hold", "configuration-in-force"],
  check: refusedOnes,
};

const BOUND = ["istio.io/WaypointBound"];
const ROUTED = ["Accepted", "Programmed", "ResolvedRefs"];
const POLICY = "AuthorizationPolicy";

const WATCHED: readonly (readonly [group: string, kind: string, types: readonly string[]])[] = [
  ["", "Service", BOUND],
  ["networking.istio.io", "ServiceEntry", BOUND],
  ["networking.istio.io", "WorkloadEntry", BOUND],
  ["security.istio.io", POLICY, ["ZtunnelAccepted", "WaypointAccepted"]],
  ["gateway.networking.k8s.io", "Gateway", ROUTED],
  ["gateway.networking.k8s.io", "HTTPRoute", ROUTED],
  ["gateway.networking.k8s.io", "GRPCRoute", ROUTED],
];

function* refusedOnes(audit: AuditContext): Iterable<Hit> {
  for (const [group, kind, types] of WATCHED)
    for (const resource of audit.every(group, kind)) {
      const { conditions, parents } = fieldsOf(resource.body.status);
      const all = [
        ...itemsOf(conditions),
        ...[...itemsOf(parents)].flatMap(([, parent]) => [...itemsOf(parent.conditions)]),
      ];
      for (const [, { type, status, reason, message }] of all) {
        const isPartial = kind === POLICY && type === "WaypointAccepted" && reason === "PartiallyInvalid";
        if (!isPartial && (status !== "False" || !types.includes(textOf(type)))) continue;
        yield {
          resource,
          path: ["status"],
          title: `\`${textOf(type)}\` is ${textOf(status)}: ${textOf(reason)} (${textOf(message)})`,
        };
      }
    }
}
