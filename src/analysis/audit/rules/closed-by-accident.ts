import { isDryRun } from "../../../policy/authorization.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { ledServices } from "../facts/led-services.ts";
import { idleRules } from "../facts/rule-effects.ts";
import { type ServerClass, serverClasses } from "../facts/server-classes.ts";
import { actionOf, rulesOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const closedByAccident: AuditRule = {
  id: "BW0605",
  title: "A workload that routes lead to and that lets in nobody",
  severity: "low",
  attacks: [],
  what: "Workloads behind a sidecar with ALLOW policies of which no rule lets anybody in, because there is none (`spec: {}`) or because no request meets one (BW0602) or gets past a DENY (BW0603), while a route of a VirtualService, HTTPRoute, GRPCRoute, TLSRoute or TCPRoute leads to their Service. One finding a Service. A default that refuses all, beside policies that let in, is as it should be and not told, nor what no route leads to.",
  why: "Nothing is open. But what does not work is mended in haste, and then with more than was needed: an ALLOW for all.",
  fix: "Say who may, in a policy of the workload's own; or remove the route.",
  claims: ["configuration-in-force"],
  check: closed,
};

function* closed(audit: AuditContext): Iterable<Hit> {
  const places = audit.fact(ledServices);
  if (places.size === 0) return;
  const shut = new Map(
    audit.fact(serverClasses).flatMap((server) => {
      const policy = shutBy(audit, server);
      return policy === undefined ? [] : server.workloads.map((workload) => [workload.key, policy] as const);
    }),
  );
  for (const { hostname, endpoints } of audit.mesh.services) {
    const place = places.get(hostname);
    const policies = endpoints.map(({ workload }) => workload && shut.get(workload.key));
    const [policy] = policies;
    if (place === undefined || policy === undefined || policies.includes(undefined)) continue;
    yield {
      resource: policy,
      title: `\`${hostname}\` lets in nobody, and ${place.resource.kind} \`${place.resource.namespace}/${place.resource.name}\` leads there`,
    };
  }
}

/** The policy that shuts it, the nearest; undefined where somebody may get in. */
function shutBy(audit: AuditContext, server: ServerClass): Resource | undefined {
  if (!server.isSidecar) return undefined;
  const allows = server.authorization.filter(
    (policy) => actionOf(policy.spec) === "ALLOW" && !isDryRun(policy),
  );
  const idle = audit.fact(idleAllows);
  const isShut = allows.every((policy) =>
    rulesOf(policy.spec).every((_, index) => idle.get(policy)?.has(index) === true),
  );
  return isShut ? allows.at(-1) : undefined;
}

/** Rules of ALLOW policies by which nobody gets in, wherever they hold. */
function idleAllows(audit: AuditContext): ReadonlyMap<Resource, ReadonlySet<number>> {
  const closing = audit
    .fact(idleRules)
    .filter(({ action, reason }) => action === "ALLOW" && (reason === "dead" || reason === "denied"));
  return new Map(
    [...Map.groupBy(closing, ({ policy }) => policy)].map(([policy, rules]) => [
      policy,
      new Set(rules.map(({ rule }) => rule)),
    ]),
  );
}
