import type { AuditContext } from "../audit-context.ts";
import { type LostRule, lostRules, type ZtunnelPolicy, ztunnelPolicies } from "../facts/ambient-policies.ts";
import { accessRequestOf, isLetThrough, plainSample } from "../facts/sample-requests.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ztunnelHttp: AuditRule = {
  id: "BW0954",
  title: "A policy about HTTP for pods whose proxy knows none",
  severity: "high",
  same: { kiali: "KIA0109" },
  attacks: ["M8", "M9"],
  what:
    "AuthorizationPolicies without `targetRefs` whose rules have attributes of HTTP (methods, paths, hosts, headers, tokens), and CUSTOM policies, at workloads in ambient mode: ztunnel enforces them, which sees connections and no requests. A DENY clause of which nothing is left never " +
    "matches, of which something is left it denies all of that; an ALLOW rule is dropped, whole; CUSTOM never gets there. A waypoint does not enforce policies without `targetRefs` either.",
  why: "The DENY keeps nobody out: what it names is let in, though the same policy holds before a sidecar. The ALLOW lets nobody in, and is then replaced by a wider one.",
  fix: "Give the workload's service a waypoint and the policy `targetRefs` to the Service; at ztunnel, leave a policy without HTTP that lets in the waypoint alone.",
  claims: ["policies-hold"],
  check: lost,
};

function* lost(audit: AuditContext): Iterable<Hit> {
  const { trustDomain, trustDomainAliases } = audit.mesh.config;
  for (const own of audit.fact(ztunnelPolicies)) {
    const { policy: resource, action, server } = own;
    const at = `\`${server.workload.key}\``;
    if (action === "CUSTOM")
      yield {
        resource,
        path: ["spec", "action"],
        title: `ztunnel asks no authorizer: at ${at} the policy does nothing`,
      };
    for (const rule of lostRules(own, [trustDomain, ...trustDomainAliases])) yield hitOf(own, rule, at);
  }
}

function hitOf({ policy, server }: ZtunnelPolicy, { index, attributes, effect }: LostRule, at: string): Hit {
  const names = attributes.map((name) => `\`${name}\``).join(", ");
  const saying = {
    void: `denies nothing at ${at}: without ${names} nothing is left of it`,
    wider: `denies at ${at} whatever it says besides ${names}`,
    dropped: `allows nothing at ${at}: it has ${names}`,
  }[effect];
  const plain = plainSample(server.workload.ports[0]?.port ?? 8080, null);
  const witness =
    effect === "void" && isLetThrough(server, plain) ? accessRequestOf(plain, server) : undefined;
  return {
    resource: policy,
    path: ["spec", "rules", index],
    title: `\`rules[${index}]\` ${saying}`,
    severity: effect === "void" ? "high" : "medium",
    ...(witness === undefined ? {} : { witness }),
  };
}
