/** What gateways take, what leaves, and what NetworkPolicies hold. */
import { outboundModes } from "../../audit/facts/outbound-modes.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../../audit/facts/written.ts";
import { type ClaimEvidence, type ClaimInput, findingLines, judged, notShown, shortened } from "../claim.ts";
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
  if (wrong.length > 0) return { status: "refuted", evidence: shortened(wrong) };
  const unread = [
    ...servers
      .filter(({ server }) => /PASSTHROUGH$/.test(textOf(fieldsOf(server.tls).mode)))
      .map(
        ({ resource }) =>
          `Gateway ${resource.namespace}/${resource.name} passes TLS on: which one is the application's to say`,
      ),
    ...otherEntries(input).map((name) => `${name} is an entry of its own, whose TLS is not judged here`),
  ];
  if (unread.length > 0) return notShown(...shortened(unread));
  return judged(
    servers.length,
    [],
    `${servers.length} servers of gateways: TLS 1.2 or later, or a redirect to it`,
    "the files have no Gateway",
  );
}

/** Ways in that are no Gateway of Istio's: Ingresses, and Gateways of the Gateway API that are not for the mesh itself. */
function otherEntries({ audit }: ClaimInput): readonly string[] {
  const gateways = audit
    .of<{ readonly gatewayClassName?: unknown }>("gateway.networking.k8s.io", "Gateway")
    .filter(({ spec }) => !/waypoint|eastwest/.test(textOf(spec?.gatewayClassName)));
  return [...audit.of("networking.k8s.io", "Ingress"), ...gateways].map(
    ({ kind, namespace, name, apiVersion }) => `${kind} ${namespace}/${name} (${apiVersion})`,
  );
}

/** What each server names has to be among the files to be judged. */
export function gatewayCertificates(input: ClaimInput): ClaimEvidence {
  const { audit, findings } = input;
  if (findings.length > 0) return { status: "refuted", evidence: findingLines(findings) };
  const secrets = new Set(audit.of("", "Secret").map(({ namespace, name }) => `${namespace}/${name}`));
  const names = gatewayServers(input).flatMap(({ resource, server }) => {
    const { credentialName, serverCertificate } = fieldsOf(server.tls);
    const own = audit.mesh.workloads
      .filter(({ role }) => role !== "application")
      .map(({ namespace }) => namespace);
    const from = [...new Set([resource.namespace, ...own])];
    if (textOf(credentialName) === "")
      return textOf(serverCertificate) === "" ? [] : [{ name: textOf(serverCertificate), from: [] }];
    return [{ name: textOf(credentialName), from }];
  });
  const missing = names.filter(
    ({ name, from }) => !from.some((namespace) => secrets.has(`${namespace}/${name}`)),
  );
  if (missing.length > 0)
    return notShown(
      ...shortened(missing.map(({ name }) => `the certificate \`${name}\` of a gateway is not in the files`)),
    );
  return judged(
    names.length,
    [],
    `nothing found of ${names.length} certificates of gateways`,
    "the files have no gateway with a certificate",
  );
}

/** Where a host outside is called in clear, or by the application's own TLS, no file says whom it believes. */
export function serversVerified({ audit, findings }: ClaimInput): ClaimEvidence {
  if (findings.length > 0) return { status: "refuted", evidence: findingLines(findings) };
  const { mesh } = audit;
  const verified = new Set(
    mesh.destinationRules
      .filter(({ spec }) => ["SIMPLE", "MUTUAL"].includes(textOf(fieldsOf(spec.trafficPolicy?.tls).mode)))
      .map(({ spec }) => textOf(spec.host)),
  );
  const outside = audit
    .of("networking.istio.io", "ServiceEntry")
    .filter(({ spec }) => textOf(fieldsOf(spec).location) !== "MESH_INTERNAL")
    .flatMap(({ spec }) => textsOf(fieldsOf(spec).hosts));
  const others = outside.filter((host) => !verified.has(host));
  if (others.length > 0)
    return notShown(
      ...shortened(
        others.map(
          (host) =>
            `no DestinationRule speaks TLS to \`${host}\`: whom it is taken for is the application's to say`,
        ),
      ),
    );
  if (audit.fact(outboundModes).some(({ mode }) => mode !== "REGISTRY_ONLY"))
    return notShown(
      "workloads reach hosts that nobody registered: whom these are taken for is not in the files",
    );
  return judged(
    outside.length,
    [],
    `TLS with a CA that is named to each of ${outside.length} hosts outside`,
    "the files name no host outside",
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
