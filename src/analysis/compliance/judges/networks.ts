/** What gateways take, what leaves, and what NetworkPolicies hold. */
import { fieldsOf, itemsOf, textOf } from "../../audit/facts/written.ts";
import { type ClaimEvidence, type ClaimInput, judged, shortened } from "../claim.ts";
import { isolatedPods } from "../isolated-pods.ts";

const gatewayServers = ({ audit }: ClaimInput) =>
  audit
    .of<{ readonly servers?: unknown }>("networking.istio.io", "Gateway")
    .flatMap((resource) =>
      [...itemsOf(fieldsOf(resource.spec).servers)].map(([index, server]) => ({ resource, index, server })),
    );

export function gatewayTls(input: ClaimInput): ClaimEvidence {
  const servers = gatewayServers(input);
  const wrong = servers.flatMap(({ resource, index, server }) => {
    const { protocol, number } = fieldsOf(server.port);
    const tls = fieldsOf(server.tls);
    const { file, line } = resource.locate(["spec", "servers", index]);
    const at = `Gateway ${resource.namespace}/${resource.name}, port ${String(number)} (${file}:${line})`;
    const isClear =
      ["HTTP", "HTTP2", "GRPC", "TCP"].includes(textOf(protocol).toUpperCase()) && tls.mode === undefined;
    if (isClear && tls.httpsRedirect !== true) return [`${at} speaks ${textOf(protocol)} in clear`];
    const least = textOf(tls.minProtocolVersion);
    return least === "TLSV1_0" || least === "TLSV1_1" ? [`${at} takes ${least}`] : [];
  });
  return judged(
    servers.length,
    shortened(wrong),
    `${servers.length} servers of gateways: TLS 1.2 or later, or a redirect to it`,
    "the files have no Gateway",
  );
}

export function egressHeld(input: ClaimInput): ClaimEvidence {
  const { mesh } = input.audit;
  const isOpen = mesh.config.outboundTrafficPolicy !== "REGISTRY_ONLY";
  const open = mesh.sidecars.filter(({ spec }) =>
    textOf(fieldsOf(spec.outboundTrafficPolicy).mode).startsWith("ALLOW_ANY"),
  );
  const unheld = isolatedPods(input.audit, "egress").open;
  const wrong = [
    ...(isOpen ? [`outboundTrafficPolicy of the mesh is ${mesh.config.outboundTrafficPolicy}`] : []),
    ...open.map(({ namespace, name }) => `Sidecar ${namespace}/${name} lets its pods call any host`),
    ...unheld.map((name) => `no NetworkPolicy holds what ${name} sends: past its proxy it reaches anything`),
  ];
  return judged(
    mesh.workloads.length,
    shortened(wrong),
    "REGISTRY_ONLY, and NetworkPolicies for egress below it, for every pod",
    "the files have no workload",
  );
}

export function networkSegmented(input: ClaimInput): ClaimEvidence {
  const { open, held } = isolatedPods(input.audit, "ingress");
  return judged(
    open.length + held,
    shortened(open.map((name) => `no NetworkPolicy selects ${name} for ingress, or one lets everything in`)),
    `each of ${held} pods is selected by a NetworkPolicy for ingress, and none lets everything in`,
    "the files have no pod",
  );
}
