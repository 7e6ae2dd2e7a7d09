import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayApiOutdated: AuditRule = {
  id: "BW0176",
  title: "A Gateway API that is older than Istio reads",
  severity: "medium",
  same: { istio: "IST0176" },
  attacks: [],
  what: "CustomResourceDefinitions of the Gateway API whose annotation `gateway.networking.k8s.io/bundle-version` is below what Istio reads: GRPCRoute 1.1.0, BackendTLSPolicy 1.4.0, TLSRoute 1.5.0, TCPRoute 1.6.0.",
  why: "Istio passes such resources by: routes are not made, and the TLS that a BackendTLSPolicy asks for is not spoken.",
  fix: "Install a newer bundle of the Gateway API.",
  claims: ["configuration-in-force"],
  check: outdated,
};

const BUNDLE = "gateway.networking.k8s.io/bundle-version";
const LEAST: Readonly<Record<string, string>> = {
  "grpcroutes.gateway.networking.k8s.io": "1.1.0",
  "backendtlspolicies.gateway.networking.k8s.io": "1.4.0",
  "tlsroutes.gateway.networking.k8s.io": "1.5.0",
  "tcproutes.gateway.networking.k8s.io": "1.6.0",
};

function* outdated(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("apiextensions.k8s.io", "CustomResourceDefinition")) {
    const least = LEAST[resource.name];
    const written = resource.annotations[BUNDLE] ?? "";
    const version = /^v?(\d+)\.(\d+)\.(\d+)/.exec(written);
    if (least === undefined || version === null || !isBelow(version.slice(1, 4), least.split("."))) continue;
    yield {
      resource,
      path: ["metadata", "annotations", BUNDLE],
      title: `\`${resource.name}\` is of ${written}; Istio reads it from ${least} on`,
    };
  }
}

function isBelow(version: readonly string[], least: readonly string[]): boolean {
  for (const [index, part] of version.entries()) {
    const difference = Number(part) - Number(least[index]);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
