import { type ServiceTarget, serviceTargets } from "../../../policy/port-protocol.ts";
import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type EnforcedRule, enforcedRules } from "../facts/enforced-rules.ts";
import type { ServerClass } from "../facts/server-classes.ts";
import { fieldsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const policyServicePort: AuditRule = {
  id: "BW0606",
  title: "A policy for the Service's port, not the workload's",
  severity: "high",
  attacks: ["M6", "M8"],
  what:
    "Entries of `ports` and `notPorts`, and conditions on `destination.port`, that are a port of a Service before the selected workloads, which leads them to another port, while none of them listens on that number and the other port does not stand beside it. " +
    "High where something stays let in by it (a DENY, a CUSTOM, or `notPorts` of an ALLOW), else medium. Policies at gateways and with `targetRefs` are not looked at: waypoints see the Service's port.",
  why: "A proxy asks for the port that the connection comes to, behind the Service: no request ever has this one. A DENY for it keeps nobody out, and nothing says so; an ALLOW for it lets nobody in.",
  fix: "Name the port that the container listens on (`targetPort`).",
  claims: ["policies-hold"],
  check: servicePorts,
};

function* servicePorts(audit: AuditContext): Iterable<Hit> {
  for (const rule of audit.fact(enforcedRules)) {
    const { policy, classes, index, action } = rule;
    const servers = classes.filter((server) => server.isSidecar || server.isAmbient);
    if (action === "AUDIT" || servers.length === 0 || "targetRefs" in fieldsOf(policy.spec)) continue;
    for (const { ports, path, isNegated } of portLists(rule))
      for (const [at, port] of ports.entries()) {
        const target = mistaken(audit, servers, Number(port));
        if (target === undefined || ports.includes(String(target.target))) continue;
        yield {
          resource: policy,
          path: ["spec", "rules", index, ...path, at],
          severity: (action === "ALLOW") === isNegated ? "high" : "medium",
          title: `${port} is a port of Service \`${target.service.namespace}/${target.service.name}\`; the workload listens on ${target.target}`,
        };
      }
  }
}

interface PortList {
  readonly ports: readonly string[];
  /** Within the rule. */
  readonly path: FieldPath;
  readonly isNegated: boolean;
}

function portLists({ spec: { to = [], when = [] } }: EnforcedRule): readonly PortList[] {
  const operations = to.flatMap(({ operation = {} }, entry) =>
    (["ports", "notPorts"] as const).map((field) => ({
      ports: operation[field] ?? [],
      path: ["to", entry, "operation", field],
      isNegated: field === "notPorts",
    })),
  );
  const conditions = when.flatMap(({ key, ...lists }, entry) =>
    (["values", "notValues"] as const).map((field) => ({
      ports: key === "destination.port" ? (lists[field] ?? []) : [],
      path: ["when", entry, field],
      isNegated: field === "notValues",
    })),
  );
  return [...operations, ...conditions];
}

/** The Service that the number was taken from; undefined where a workload may listen on it. */
function mistaken(
  audit: AuditContext,
  servers: readonly ServerClass[],
  port: number,
): ServiceTarget | undefined {
  const workloads = servers.flatMap((server) => server.workloads);
  const targets = workloads.flatMap((workload) => serviceTargets(audit.mesh, workload));
  const isOwn =
    targets.some(({ target }) => target === port) ||
    workloads.some(({ ports }) => ports.some((own) => own.port === port)) ||
    servers.some((server) => server.isSidecar && server.inbound.ports.has(port));
  return isOwn ? undefined : targets.find((one) => one.port.port === port);
}
