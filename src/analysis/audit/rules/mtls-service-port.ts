import { matchesLabels } from "../../../model/selector.ts";
import { type ServiceTarget, serviceTargets } from "../../../policy/port-protocol.ts";
import type { AuditContext } from "../audit-context.ts";
import {
  isSelective,
  type PeerAuthentication,
  portModesOf,
  selectorOf,
} from "../facts/peer-authentications.ts";
import { plaintextInto } from "../facts/request-into.ts";
import { type ServerClass, serverClasses } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const mtlsServicePort: AuditRule = {
  id: "BW0635",
  title: "A port's mutual TLS mode for the Service's port, not the workload's",
  severity: "high",
  attacks: ["M1"],
  what:
    "Keys of `portLevelMtls` that are ports of a Service before the selected workload, which leads them to another port, while no container declares that number itself: `portLevelMtls` is about the workload's own ports. " +
    "High for a STRICT that leaves the real port open, shown by a request in clear; else low.",
  why: "The mode that was meant for the port does not hold there: what was to be STRICT takes plaintext, what was to be excepted refuses its clients.",
  fix: "Name the port that the container listens on (`targetPort`).",
  claims: ["mutual-tls"],
  check: servicePorts,
};

function* servicePorts(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.mesh.peerAuthentications) {
    if (!isSelective(resource) || resource.namespace === audit.mesh.config.rootNamespace) continue;
    for (const [port, mode] of portModesOf(resource)) {
      const found = mistaken(audit, resource, port);
      if (found === undefined) continue;
      const { server, target } = found;
      const witness = mode === "STRICT" ? plaintextInto(audit, server, target.target) : undefined;
      yield {
        resource,
        path: ["spec", "portLevelMtls", String(port)],
        title: `${port} is a port of Service \`${target.service.namespace}/${target.service.name}\`; the workload listens on ${target.target}`,
        ...(witness === undefined ? { severity: "low" } : { witness }),
      };
    }
  }
}

function mistaken(
  audit: AuditContext,
  policy: PeerAuthentication,
  port: number,
): { readonly server: ServerClass; readonly target: ServiceTarget } | undefined {
  for (const server of audit.fact(serverClasses)) {
    const { workload } = server;
    const isSelected =
      workload.role === "application" &&
      workload.namespace === policy.namespace &&
      matchesLabels(selectorOf(policy), workload.labels);
    if (!isSelected || workload.ports.some((own) => own.port === port)) continue;
    const targets = serviceTargets(audit.mesh, workload);
    if (targets.some(({ target }) => target === port)) continue;
    const target = targets.find((one) => one.port.port === port);
    if (target !== undefined) return { server, target };
  }
  return undefined;
}
