import { resolveGatewayName, resolveShortName } from "../../../policy/outbound/host-name.ts";
import {
  type GatewayShape,
  shapeOf,
  type VirtualServiceShape,
} from "../../../policy/outbound/resource-shapes.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const egressOuterName: AuditRule = {
  id: "BW0956",
  title: "An egress gateway that trusts the server name outside, whatever is asked for inside",
  severity: "high",
  attacks: ["E6", "E2"],
  what:
    "Servers of a Gateway with protocol TLS and mode ISTIO_MUTUAL, MUTUAL or SIMPLE (which the gateway ends) whose VirtualServices send on by `tcp` routes to hosts outside of the mesh: Istio's gateway picks the route, and asks AuthorizationPolicies, by the name of the outer TLS alone; " +
    "the application's own TLS inside, with the name that the host outside will see, goes on unread. Bulwark's own gateways compare the two.",
  why: "The workload, or who holds its key, writes an allowed name outside and another one inside, and reaches what a wildcard or the next host at the same address serves (domain fronting), under a record that names the allowed one.",
  fix: "Give each host a server, a route and an AuthorizationPolicy of its own, without wildcards; keep the firewall behind the gateway to the addresses of these hosts; or run the egress gateway as Bulwark's, which looks inside.",
  claims: ["egress-held", "servers-verified"],
  check: outerNames,
};

const ENDED: ReadonlySet<string> = new Set(["ISTIO_MUTUAL", "MUTUAL", "SIMPLE"]);

function* outerNames({ mesh }: AuditContext): Iterable<Hit> {
  const external = new Set(
    mesh.services.filter((service) => service.external).map(({ hostname }) => hostname.toLowerCase()),
  );
  const sending = new Map<string, string>();
  for (const resource of mesh.virtualServices) {
    const { gateways = [], tcp = [] } = shapeOf<VirtualServiceShape>(resource);
    const hosts = tcp.flatMap(({ route = [] }) =>
      route.map(({ destination }) =>
        resolveShortName(destination?.host ?? "", resource.namespace).toLowerCase(),
      ),
    );
    const host = hosts.find((one) => external.has(one));
    if (host !== undefined)
      for (const name of gateways) sending.set(resolveGatewayName(name, resource.namespace), host);
  }
  for (const resource of mesh.gateways) {
    const host = sending.get(`${resource.namespace}/${resource.name}`);
    if (host === undefined) continue;
    for (const [at, { port, tls }] of (shapeOf<GatewayShape>(resource).servers ?? []).entries())
      if (port?.protocol?.toUpperCase() === "TLS" && ENDED.has(tls?.mode ?? ""))
        yield {
          resource,
          path: ["spec", "servers", at, "tls", "mode"],
          title: `what is inside of the TLS for port ${port.number} goes on unread, to \`${host}\` for one`,
        };
  }
}
