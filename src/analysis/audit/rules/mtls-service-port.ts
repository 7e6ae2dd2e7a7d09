import type { Workload } from "../../../model/mesh.ts";
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
import type { Edit, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const mtlsServicePort: AuditRule = {
  id: "BW0635",
  title: "A port's mutual TLS mode for the Service's port, not the workload's",
  severity: "high",
  attacks: ["M1"],
  what:
    "Keys of `portLevelMtls` that are ports of a Service before the selected workload, which leads them to another port, while no container declares that number itself, and the other port is not named with the same mode: `portLevelMtls` is about the workload's own ports. " +
    "High for a STRICT that leaves the real port open, shown by a request in clear; else low.",
  why: "The mode that was meant for the port does not hold there: what was to be STRICT takes plaintext, what was to be excepted refuses its clients.",
  fix: "Name the port that the container listens on (`targetPort`). `--fix` adds it for a STRICT, where every workload that is selected listens on the same.",
  claims: ["mutual-tls"],
  check: servicePorts,
};

function* servicePorts(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.mesh.peerAuthentications) {
    if (!isSelective(resource) || resource.namespace === audit.mesh.config.rootNamespace) continue;
    const modes = portModesOf(resource);
    for (const [port, mode] of modes) {
      const found = mistaken(audit, resource, port);
      if (found === undefined) continue;
      const { server, target } = found;
      if (modes.some(([own, other]) => own === target.target && other === mode)) continue;
      const witness = mode === "STRICT" ? plaintextInto(audit, server, target.target) : undefined;
      yield {
        resource,
        path: ["spec", "portLevelMtls", String(port)],
        title: `${port} is a port of Service \`${target.service.namespace}/${target.service.name}\`; the workload listens on ${target.target}`,
        ...(witness === undefined
          ? { severity: "low" }
          : { witness, edits: named(audit, resource, port, target.target) }),
      };
    }
  }
}

/** Closes what was to be closed, and opens nothing: where Services lead that port of theirs to the same other one of all that is selected. */
function named(audit: AuditContext, policy: PeerAuthentication, from: number, to: number): readonly Edit[] {
  if (Object.hasOwn(policy.spec.portLevelMtls ?? {}, String(to))) return [];
  const selected = audit
    .fact(serverClasses)
    .flatMap(({ workloads }) => workloads)
    .filter((workload) => isSelected(policy, workload));
  const isCertain = selected.every((workload) => {
    const own = serviceTargets(audit.mesh, workload).filter(({ port }) => port.port === from);
    const isDeclared = workload.ports.some(({ port }) => port === from);
    return !isDeclared && own.length > 0 && own.every(({ target }) => target === to);
  });
  const path = ["spec", "portLevelMtls", String(to)];
  return isCertain ? [{ edit: "set", resource: policy, path, value: { mode: "STRICT" } }] : [];
}

function isSelected(policy: PeerAuthentication, { role, namespace, labels }: Workload): boolean {
  return (
    role === "application" && namespace === policy.namespace && matchesLabels(selectorOf(policy), labels)
  );
}

function mistaken(
  audit: AuditContext,
  policy: PeerAuthentication,
  port: number,
): { readonly server: ServerClass; readonly target: ServiceTarget } | undefined {
  for (const server of audit.fact(serverClasses)) {
    const { workload } = server;
    if (!isSelected(policy, workload) || workload.ports.some((own) => own.port === port)) continue;
    const targets = serviceTargets(audit.mesh, workload);
    if (targets.some(({ target }) => target === port)) continue;
    const target = targets.find((one) => one.port.port === port);
    if (target !== undefined) return { server, target };
  }
  return undefined;
}
