import type { Workload } from "../../../model/mesh.ts";
import { indexPeerMtls, type PeerMtls } from "../../../policy/outbound/peer-mtls.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { openPorts } from "../facts/plaintext-ports.ts";
import { plaintextInto } from "../facts/request-into.ts";
import { type ServerClass, serverClasses } from "../facts/server-classes.ts";
import { tlsExceptions } from "../facts/tls-exceptions.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const namespacePermissive: AuditRule = {
  id: "BW0406",
  title: "A namespace that takes plaintext",
  severity: "medium",
  same: { snowcat: "Permissive Mutual TLS" },
  attacks: ["M1"],
  what: "Namespaces without STRICT, of their own or the mesh's, that have a workload with a port at which its proxy takes plaintext: one finding a namespace, with the first such workload and port. `low` where AuthorizationPolicies refuse every request in clear that was tried, so that only the policies stand between. Where a namespace, a workload or a port is excepted from the STRICT of the level above and a request in clear is let in, BW0630 alone tells. Namespaces without workloads of the mesh are not told.",
  why: "Whoever reaches the pod's address speaks to it without a certificate: nothing is encrypted, and nobody knows who it was.",
  fix: "Add a PeerAuthentication with `mtls: {mode: STRICT}` to the root namespace, or to the namespace; find the clients without a proxy first (`bulwark tighten`).",
  claims: ["mutual-tls"],
  check: permissive,
};

interface Place {
  readonly workload: Workload;
  readonly port: number;
  readonly witness: AccessRequest | undefined;
}

function* permissive(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const peers = indexPeerMtls(mesh);
  const places = placesByNamespace(audit, peers);
  const resources = new Map(audit.of("", "Namespace").map((resource) => [resource.name, resource]));
  const excepted = new Set(
    audit.fact(tlsExceptions).flatMap(({ policy, isWide }) => (isWide ? [policy.namespace] : [])),
  );
  for (const name of [...places.keys()].sort()) {
    const place = places.get(name);
    if (place === undefined || excepted.has(name)) continue;
    const { workload, port, witness } = place;
    const resource: Resource = resources.get(name) ?? workload.resource;
    yield {
      resource,
      title: `no STRICT holds in \`${name}\`: \`${workload.key}\` takes plaintext at port ${port}`,
      ...(witness === undefined ? { severity: "low" as const } : { witness }),
    };
  }
}

/** A place that lets a request in goes before one that only takes the connection. */
function placesByNamespace(audit: AuditContext, peers: PeerMtls): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  const root = audit.mesh.config.rootNamespace;
  for (const server of audit.fact(serverClasses)) {
    if (!server.isSidecar && !server.isAmbient) continue;
    const left = firstByNamespace(server).filter(({ namespace }) => {
      const isStrict = peers.namespaceMode(namespace) === "STRICT";
      return namespace !== root && !isStrict && places.get(namespace)?.witness === undefined;
    });
    if (left.length === 0) continue;
    const found = plainPort(audit, server);
    if (found === undefined) continue;
    for (const workload of left) {
      const { port, request } = found;
      const witness =
        request === undefined ? undefined : { ...request, to: { ...request.to, workload: workload.key } };
      if (witness !== undefined || !places.has(workload.namespace))
        places.set(workload.namespace, { workload, port, witness });
    }
  }
  return places;
}

function firstByNamespace({ workloads }: ServerClass): readonly Workload[] {
  return [...Map.groupBy(workloads, ({ namespace }) => namespace).values()].flatMap(([first]) => first ?? []);
}

function plainPort(
  audit: AuditContext,
  server: ServerClass,
): { readonly port: number; readonly request: AccessRequest | undefined } | undefined {
  const [declared] = [...server.workload.ports.map(({ port }) => port), ...server.ports.keys()];
  if (declared === undefined) return undefined;
  const ports = openPorts(server, declared);
  for (const port of ports) {
    const request = plaintextInto(audit, server, port);
    if (request !== undefined) return { port, request };
  }
  const [port] = ports;
  return port === undefined ? undefined : { port, request: undefined };
}
