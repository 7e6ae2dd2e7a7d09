import type { AuditContext } from "../audit-context.ts";
import { isControlPlane, SYSTEM_NAMESPACES } from "../facts/pods.ts";
import { unnamedPorts } from "../facts/port-names.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const portUnnamed: AuditRule = {
  id: "BW0118",
  title: "A port of a Service that does not say what it speaks",
  severity: "low",
  same: { istio: "IST0118", kiali: "KIA0601" },
  attacks: ["M8"],
  what: "A port without `appProtocol` whose name does not begin with a protocol that Istio knows (`http-web`, `grpc`, `tcp-backup`), other than UDP and ports 25, 53, 3306 and 27017. Istio's own Services, those that it makes for gateways and those of Kubernetes' own namespaces are left out.",
  why: "Istio looks at the first bytes to tell. Whoever sends bytes that do not look like HTTP is a TCP client: rules about methods and paths are not asked, an ALLOW for the port lets him in, and servers that speak first hang.",
  fix: "Name the port for its protocol, or set `appProtocol`.",
  claims: ["protocols-declared"],
  check: unnamed,
};

/** On what is made for a Gateway of the Gateway API, by Istio or by `up`. */
const GATEWAY = "gateway.networking.k8s.io/gateway-name";
const MANAGED = "gateway.istio.io/managed";
const CONTROLLERS = new Set([
  "istio.io-gateway-controller",
  "istio.io-mesh-controller",
  "istio.io-eastwest-controller",
]);

function* unnamed(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("", "Service")) {
    const { spec, labels, namespace } = resource;
    if (SYSTEM_NAMESPACES.has(namespace)) continue;
    if (isControlPlane(resource) || CONTROLLERS.has(labels[MANAGED] ?? "")) continue;
    if (labels[GATEWAY] !== undefined) continue;
    if (fieldsOf(spec).type === "ExternalName") continue;
    for (const [index, { name, port, appProtocol }] of unnamedPorts(resource))
      yield {
        resource,
        path: ["spec", "ports", index],
        ...(appProtocol === undefined ? {} : { kiali: "KIA0602" }),
        title: `port ${String(port)}${name === undefined ? ", without a name," : `, \`${textOf(name)}\`,`} does not say what it speaks`,
      };
  }
}
