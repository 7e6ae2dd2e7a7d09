import type { AuditContext } from "../audit-context.ts";
import { isSelected } from "../facts/injector-webhooks.ts";
import { type Direction, openRuleOf } from "../facts/network-open.ts";
import { podsByNamespace, SYSTEM_NAMESPACES } from "../facts/pods.ts";
import { fieldsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const networkPolicyOpen: AuditRule = {
  id: "BW0808",
  title: "A NetworkPolicy that lets everything through",
  severity: "medium",
  attacks: ["E1", "M12"],
  what: "Rules of NetworkPolicies for pods in the files that name neither peers (or all addresses: `0.0.0.0/0` without `except`) nor ports: `ingress: [{}]`, `egress: [{}]`. Of what comes in `low`: mutual TLS stands before it where it is STRICT. Kubernetes' own namespaces are left out.",
  why: "The rules of all NetworkPolicies of a pod are joined: this one undoes every other, and whoever counts policies takes the pods for segmented. What goes past the proxy is stopped by nothing.",
  fix: "Name the peers, or the ports; take the rule away where others say what is meant.",
  claims: ["network-segmented", "egress-held"],
  check: openRules,
};

const DIRECTIONS: readonly (readonly [Direction, string])[] = [
  ["ingress", "from anywhere"],
  ["egress", "to anywhere"],
];

function* openRules(audit: AuditContext): Iterable<Hit> {
  const pods = audit.fact(podsByNamespace);
  for (const resource of audit.of("networking.k8s.io", "NetworkPolicy")) {
    if (SYSTEM_NAMESPACES.has(resource.namespace)) continue;
    const { podSelector } = fieldsOf(resource.spec);
    const selected = (pods.get(resource.namespace) ?? []).filter(({ labels }) =>
      isSelected(podSelector, labels),
    );
    const [first] = selected;
    if (first === undefined) continue;
    const name = `${first.namespace}/${first.resource.name}`;
    const others = selected.length > 1 ? ` and ${selected.length - 1} more` : "";
    for (const [direction, where] of DIRECTIONS) {
      const rule = openRuleOf(resource.spec, direction);
      if (rule === undefined) continue;
      yield {
        resource,
        path: ["spec", direction, rule],
        ...(direction === "ingress" ? { severity: "low" as const } : {}),
        title: `everything passes ${where}, at \`${name}\`${others}`,
      };
    }
  }
}
