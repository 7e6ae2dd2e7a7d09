import { matchesLabels } from "../../../model/selector.ts";
import { isAdded } from "../../../resources/added-at.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedGateway, gatewaysWithPods } from "../facts/gateway-pods.ts";
import { type Fields, fieldsOf, itemsOf, labelsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayInClear: AuditRule = {
  id: "BW0835",
  title: "A Gateway that serves HTTP in clear",
  severity: "medium",
  attacks: ["M2"],
  what:
    "A server of a Gateway that speaks HTTP, HTTP2 or gRPC without `tls`, at a port of pods that a Service of type LoadBalancer or NodePort leads to, or at pods that are supposed to be Istio's ingress gateway since no file has them. Not told: servers with `httpsRedirect`, and hosts for which VirtualServices at this Gateway do nothing but redirect to https. " +
    "Whether a proxy of the cloud's ends TLS before it, no file says.",
  why: "Whoever is on the way reads and changes what clients send, passwords and tokens among it: mutual TLS begins behind the gateway.",
  fix: "Set `tls: {httpsRedirect: true}` at this server, and serve the hosts by HTTPS.",
  claims: ["gateway-tls"],
  check: inClear,
};

const CLEAR = new Set(["HTTP", "HTTP2", "GRPC", "GRPC-WEB"]);

function* inClear(audit: AuditContext): Iterable<Hit> {
  const refused = new Set(audit.rejected.map(({ resource }) => resource));
  for (const gateway of audit.fact(gatewaysWithPods)) {
    const { resource, servers } = gateway;
    if (refused.has(resource)) continue;
    for (const [index, { port, tls, hosts }] of servers.entries()) {
      const { protocol, number } = fieldsOf(port);
      if (!CLEAR.has(textOf(protocol).toUpperCase()) || fieldsOf(tls).httpsRedirect === true) continue;
      if (!isOpenToOutside(audit, gateway, number)) continue;
      const written = textsOf(hosts);
      if (written.length > 0 && written.every((host) => isRedirected(audit, gateway, host))) continue;
      yield {
        resource,
        path: ["spec", "servers", index, "port"],
        title: `port ${String(number)} serves ${written.map((host) => `\`${host}\``).join(", ")} in clear`,
      };
    }
  }
}

/** A server's port is one of the Services', or the pods' own where no Service has it. */
function isOpenToOutside(
  audit: AuditContext,
  { pods, selector }: AuditedGateway,
  serverPort: unknown,
): boolean {
  const own = pods.filter(({ resource }) => !isAdded(resource));
  // Istio's own, as `istioctl install` makes them.
  if (own.length === 0) return selector.istio === "ingressgateway";
  return audit.of("", "Service").some(({ spec, namespace }) => {
    const { type, selector: selected, ports } = fieldsOf(spec);
    if (type !== "LoadBalancer" && type !== "NodePort") return false;
    if (![...itemsOf(ports)].some(([, port]) => leadsTo(port, serverPort))) return false;
    const labels = labelsOf(selected);
    return (
      Object.keys(labels).length > 0 &&
      own.some((pod) => pod.namespace === namespace && matchesLabels(labels, pod.labels))
    );
  });
}

/** A name of a container's port may be any number. */
function leadsTo({ port, targetPort }: Fields, serverPort: unknown): boolean {
  return port === serverPort || targetPort === serverPort || typeof targetPort === "string";
}

/** Whether all that is routed for the host at the Gateway leads to https, and something is. */
function isRedirected(audit: AuditContext, { resource: gateway }: AuditedGateway, host: string): boolean {
  const name = host.slice(host.indexOf("/") + 1);
  const routes = audit.mesh.virtualServices
    .filter(({ spec, namespace }) => {
      const { gateways, hosts } = fieldsOf(spec);
      const isBound = textsOf(gateways).some(
        (one) => (one.includes("/") ? one : `${namespace}/${one}`) === `${gateway.namespace}/${gateway.name}`,
      );
      return isBound && (name === "*" || textsOf(hosts).includes(name));
    })
    .flatMap(({ spec }) => [...itemsOf(fieldsOf(spec).http)]);
  return (
    routes.length > 0 && routes.every(([, { redirect }]) => textOf(fieldsOf(redirect).scheme) === "https")
  );
}
