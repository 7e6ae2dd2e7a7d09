import { compileAmbient, decideAmbient } from "../../../policy/ambient/ambient-policy.ts";
import { policiesFor } from "../../../policy/policy-lookup.ts";
import { resourceName } from "../../../resources/resource.ts";
import { connectionOf } from "../../space/request-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { accessRequestOf, plainSample } from "../facts/sample-requests.ts";
import { type ServerClass, serverClasses } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ztunnelPeerPorts: AuditRule = {
  id: "BW0951",
  title: "A STRICT port that takes plaintext in ambient mode",
  severity: "high",
  attacks: ["M1"],
  what:
    "Ports of workloads in ambient mode that are STRICT by PeerAuthentication and that ztunnel lets plaintext in at, because istiod loses the port when it translates the policies: a STRICT port of a PERMISSIVE or DISABLE workload in a mesh that is STRICT and a namespace without a policy of its own; " +
    "and a workload without a mode, with a PERMISSIVE port, under a namespace policy that is UNSET in a mesh that is STRICT (all of its ports). Shown by a request in clear. Bulwark's own ztunnel refuses it.",
  why: "Anybody who reaches the pod's address connects there without a certificate, although the policy reads STRICT.",
  fix: "Give the namespace a PeerAuthentication of its own with the mode written out (`mtls: {mode: STRICT}`), and the workload's policy its own mode.",
  claims: ["mutual-tls", "policies-hold"],
  check: lostPorts,
};

function* lostPorts(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const told = new Set<string>();
  for (const server of audit.fact(serverClasses)) {
    if (!server.isAmbient) continue;
    const { workload } = server;
    const own = policiesFor(mesh.peerAuthentications, workload, mesh.config.rootNamespace).find(
      ({ namespace, spec }) => namespace === workload.namespace && spec.portLevelMtls !== undefined,
    );
    if (own === undefined) continue;
    for (const port of portsLost(audit, server)) {
      const key = `${resourceName(own)} ${port}`;
      if (told.has(key)) continue;
      told.add(key);
      const names = own.spec.portLevelMtls?.[port] !== undefined;
      yield {
        resource: own,
        path: names ? ["spec", "portLevelMtls", String(port)] : ["spec", "portLevelMtls"],
        title: `port ${port} of \`${workload.key}\` is STRICT as written, and its ztunnel takes plaintext there`,
        witness: accessRequestOf(plainSample(port, null), server),
      };
    }
  }
}

function portsLost({ mesh }: AuditContext, server: ServerClass): readonly number[] {
  const written = compileAmbient(mesh, server.workload, { semantics: "strict" });
  const ports = new Set([
    ...(server.inbound.transportPorts ?? []),
    ...server.workload.ports.map(({ port }) => port),
  ]);
  return [...ports].filter((port) => {
    const connection = connectionOf(plainSample(port, null));
    return (
      decideAmbient(server.ambient, connection).allowed &&
      decideAmbient(written, connection).cause === "plaintext-refused"
    );
  });
}
