import { isAdded } from "../../../resources/added-at.ts";
import type { AuditContext } from "../audit-context.ts";
import { gatewaysWithPods } from "../facts/gateway-pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayOfOthers: AuditRule = {
  id: "BW0833",
  title: "A Gateway that opens ports on another namespace's pods",
  severity: "low",
  attacks: ["M11"],
  what: "A Gateway whose selector takes pods of other namespaces than its own; `info` where no file has them, so that they are supposed to be those that Istio installs. istiod with PILOT_SCOPE_GATEWAY_TO_NAMESPACE=true lets none do so, and nothing is told then; nor of Gateways that are refused (BW0106).",
  why: "Whoever writes Gateways in that namespace, and others besides, opens ports and hosts on a gateway that is not theirs, and has its certificates served there: nobody of the gateway's owners is asked.",
  fix: "Keep Gateways in the namespace of their pods, and have applications bind to them (`shop/shop.example.com` among the hosts says which); then set PILOT_SCOPE_GATEWAY_TO_NAMESPACE. Or use the Gateway API, whose Gateways have pods of their own.",
  claims: ["hosts-owned", "surface-named"],
  check: reachingOver,
};

function* reachingOver(audit: AuditContext): Iterable<Hit> {
  const isScoped = audit.mesh.resources.some(
    ({ kind, spec, labels }) =>
      kind === "Deployment" &&
      labels.app === "istiod" &&
      /"PILOT_SCOPE_GATEWAY_TO_NAMESPACE","value":"true"/.test(JSON.stringify(spec)),
  );
  if (isScoped) return;
  const refused = new Set(audit.rejected.map(({ resource }) => resource));
  for (const { resource, pods } of audit.fact(gatewaysWithPods)) {
    if (refused.has(resource)) continue;
    const other = pods.find(({ namespace }) => namespace !== resource.namespace);
    if (other === undefined) continue;
    const name = `${other.namespace}/${other.resource.name}`;
    const isSupposed = isAdded(other.resource);
    yield {
      resource,
      path: ["spec", "selector"],
      ...(isSupposed ? { severity: "info" as const } : {}),
      title: isSupposed
        ? `it takes the gateway that Istio installs as \`${name}\`: no file has it`
        : `it takes \`${name}\`, a pod of another namespace`,
    };
  }
}
