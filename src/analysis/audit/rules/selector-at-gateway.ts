import { matchesLabels } from "../../../model/selector.ts";
import type { AuditContext } from "../audit-context.ts";
import { podsByNamespace } from "../facts/pods.ts";
import { fieldsOf, labelsOf, listOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const selectorAtGateway: AuditRule = {
  id: "BW0166",
  title: "A policy that selects a gateway's pods, which read only what targets them",
  severity: "high",
  same: { istio: "IST0166" },
  attacks: ["M9"],
  what: "An AuthorizationPolicy, RequestAuthentication, Telemetry or WasmPlugin with a `selector` and without `targetRefs`, that takes pods which Istio has made for a Gateway of the Gateway API (label `gateway.networking.k8s.io/gateway-name`).",
  why: "Waypoints, and gateways that are made so, read only policies with `targetRefs`: what the policy was to refuse passes.",
  fix: "Name the Gateway in `targetRefs`.",
  claims: ["policies-hold"],
  check: unread,
};

const GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name";
const KINDS = [
  ["security.istio.io", "AuthorizationPolicy"],
  ["security.istio.io", "RequestAuthentication"],
  ["telemetry.istio.io", "Telemetry"],
  ["extensions.istio.io", "WasmPlugin"],
] as const;

function* unread(audit: AuditContext): Iterable<Hit> {
  const pods = audit.fact(podsByNamespace);
  for (const [group, kind] of KINDS)
    for (const resource of audit.every(group, kind)) {
      const { selector, targetRef, targetRefs } = fieldsOf(resource.spec);
      if (selector === undefined || targetRef !== undefined || listOf(targetRefs).length > 0) continue;
      const labels = labelsOf(fieldsOf(selector).matchLabels);
      const taken = (pods.get(resource.namespace) ?? []).filter(
        (pod) => pod.labels[GATEWAY_NAME] !== undefined && matchesLabels(labels, pod.labels),
      );
      const gateways = [...new Set(taken.map((pod) => pod.labels[GATEWAY_NAME]))];
      for (const gateway of gateways)
        yield {
          resource,
          path: ["spec", "selector"],
          title: `it selects pods of Gateway \`${gateway}\`, which do not read it`,
        };
    }
}
