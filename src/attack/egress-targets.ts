/** Ways out of the mesh through a gateway, and who may use which. */
import type { Service, Workload } from "../model/mesh.ts";
import { compileInbound, decideConnection } from "../policy/inbound.ts";
import { compileOutbound } from "../policy/outbound/compile-outbound.ts";
import type { Verdict } from "../policy/verdict.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { connectionOf } from "./promise.ts";
import { addressOf, attackers, principalOf, workloadOf } from "./targets.ts";

/** One workload's way to one host outside. */
export interface EgressRoute {
  readonly source: PodAssignment;
  /** A concrete name: `*.ibm.com` → `www.ibm.com`. */
  readonly host: string;
  readonly port: number;
  readonly gateway: PodAssignment;
  /** The gateway's container port, and the socket for it. */
  readonly gatewayPort: number;
  readonly address: { readonly host: string; readonly port: number };
  /** Server name of the mesh's TLS to the gateway, as the sidecar sends it. */
  readonly outerName: string;
  /** What the gateway decides about this source with this host's name inside and outside. */
  readonly verdict: Verdict;
}

/** Every workload × every external TLS host that is routed through a gateway. */
export function egressRoutes(mesh: MeshUnderAttack): readonly EgressRoute[] {
  return attackers(mesh).flatMap((source) => {
    const outbound = compileOutbound(mesh.mesh, workloadOf(mesh, source));
    return externalHosts(mesh).flatMap(({ host, port }) => {
      const decision = outbound.routeTls({ host, port, sni: host });
      const [target] = decision.kind === "forward" ? decision.targets : [];
      const endpoint = target?.cluster?.endpoints.find((plan) => plan.endpoint.workload?.role === "gateway");
      const outerName = target?.sni ?? target?.cluster?.tlsSettings?.sni;
      const workload = endpoint?.endpoint.workload;
      const gateway = mesh.assignments.pods.find((pod) => pod.workload === workload?.key);
      if (
        endpoint === undefined ||
        workload === undefined ||
        gateway === undefined ||
        outerName === undefined
      )
        return [];
      return [
        {
          source,
          host,
          port,
          gateway,
          gatewayPort: endpoint.port,
          address: addressOf(mesh, gateway, endpoint.port),
          outerName,
          verdict: atGateway(mesh, workload, source, endpoint.port, [outerName, host]),
        },
      ];
    });
  });
}

/** The gateway's verdict: the first refusal of any of the names, else the last. */
export function atGateway(
  mesh: MeshUnderAttack,
  gateway: Workload,
  source: PodAssignment,
  port: number,
  names: readonly string[],
): Verdict {
  const policy = compileInbound(mesh.mesh, gateway, { semantics: "strict" });
  const verdicts = names.map((sni) =>
    decideConnection(
      policy,
      connectionOf({ tls: "mtls", principal: principalOf(source), sourceIp: source.address, port, sni }),
    ),
  );
  const verdict = verdicts.find(({ allowed }) => !allowed) ?? verdicts.at(-1);
  if (verdict === undefined) throw new Error("BUG: no name to decide about");
  return verdict;
}

/** A name under each external host with a TLS port. */
function externalHosts(mesh: MeshUnderAttack): readonly { host: string; port: number }[] {
  const seen = new Set<string>();
  return mesh.mesh.services.filter(isExternal).flatMap((service) =>
    service.ports
      .filter(({ protocol }) => protocol === "tls" || protocol === "https")
      .map(({ port }) => ({ host: service.hostname.replace(/^\*\./, "www."), port }))
      .filter(({ host, port }) => !seen.has(`${host}:${port}`) && seen.add(`${host}:${port}`)),
  );
}

function isExternal(service: Service): boolean {
  return service.origin === "service-entry" && service.external;
}
