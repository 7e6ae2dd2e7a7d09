import { endsEdgeTls } from "../dataplane/edge-tls-servers.ts";
import { readServerCredentials } from "../dataplane/gateway-credentials.ts";
import { SecretStore } from "../dataplane/secret-store.ts";
import type { Mesh } from "../model/mesh.ts";
import { gatewayApiOf } from "../policy/gateway-api/convert.ts";
import { mergeServers } from "../policy/outbound/gateway-servers.ts";
import type { GatewayServer } from "../policy/outbound/types.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { Diagnostic, Span } from "../resources/diagnostic.ts";
import { resourceName } from "../resources/resource.ts";

/** Servers of gateways that will refuse their clients for want of usable certificates: not wrong by themselves, but said. */
export function gatewaysWithoutCertificates(mesh: Mesh): readonly Diagnostic[] {
  const secrets = new SecretStore(mesh.resources);
  const found = new Map<string, Diagnostic>();
  for (const workload of mesh.workloads) {
    if (workload.role !== "gateway") continue;
    for (const { server, locate } of [...mergeServers(mesh, workload).values()].flat()) {
      const read = endsEdgeTls(server) ? readServerCredentials(server.tls, secrets) : undefined;
      if (read instanceof BulwarkError)
        found.set(`${server.gateway} ${server.index}`, refuses(server, locate(), read.message));
    }
  }
  return [...found.values()];
}

/** What of the Gateway API takes no effect: routes that are attached nowhere, backends that may not be used, foreign classes. */
export function gatewayApiWithoutEffect(mesh: Mesh): readonly Diagnostic[] {
  return gatewayApiOf(mesh).problems.map(({ resource, path, why }) => ({
    code: "BW0906_GATEWAY_API",
    severity: "warning",
    message: why,
    resource: resourceName(resource),
    span: resource.locate(path),
  }));
}

function refuses({ gateway, port, hosts }: GatewayServer, span: Span, why: string): Diagnostic {
  return {
    code: "BW0905_GATEWAY_REFUSES",
    severity: "warning",
    message: `the server on port ${port} for \`${hosts.join("`, `")}\` refuses every client: ${why}`,
    resource: gateway,
    span,
    help: "put a Secret with certificate and key (and, for MUTUAL, `ca.crt`) into the gateway's namespace",
  };
}
