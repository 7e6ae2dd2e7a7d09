import { endsEdgeTls } from "../dataplane/edge-tls-servers.ts";
import { readServerCredentials } from "../dataplane/gateway-credentials.ts";
import { SecretStore } from "../dataplane/secret-store.ts";
import type { Mesh } from "../model/mesh.ts";
import { mergeServers } from "../policy/outbound/gateway-servers.ts";
import type { GatewayServer } from "../policy/outbound/types.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { Diagnostic } from "../resources/diagnostic.ts";
import { resourceName } from "../resources/resource.ts";

/** Servers of gateways that will refuse their clients for want of usable certificates: not wrong by themselves, but said. */
export function gatewaysWithoutCertificates(mesh: Mesh): readonly Diagnostic[] {
  const secrets = new SecretStore(mesh.resources);
  const found = new Map<string, Diagnostic>();
  for (const workload of mesh.workloads) {
    if (workload.role !== "gateway") continue;
    for (const { server } of [...mergeServers(mesh, workload).values()].flat()) {
      const read = endsEdgeTls(server) ? readServerCredentials(server.tls, secrets) : undefined;
      if (read instanceof BulwarkError)
        found.set(`${server.gateway} ${server.index}`, refuses(mesh, server, read.message));
    }
  }
  return [...found.values()];
}

function refuses(mesh: Mesh, { gateway, index, port, hosts }: GatewayServer, why: string): Diagnostic {
  const resource = mesh.resources.find(
    (candidate) => resourceName(candidate) === gateway && candidate.kind === "Gateway",
  );
  const span = resource?.locate(["spec", "servers", index, "tls"]);
  return {
    code: "BW0905_GATEWAY_REFUSES",
    severity: "warning",
    message: `the server on port ${port} for \`${hosts.join("`, `")}\` refuses every client: ${why}`,
    resource: gateway,
    ...(span === undefined ? {} : { span }),
    help: "put a Secret with certificate and key (and, for MUTUAL, `ca.crt`) into the gateway's namespace",
  };
}
