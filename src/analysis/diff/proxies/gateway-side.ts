/** A gateway of one mesh: what it is asked, and what it answers. */
import { resolveTargetPort } from "../../../model/build-services.ts";
import type { Workload } from "../../../model/mesh.ts";
import { chainOf } from "../../../policy/inbound.ts";
import { boundTo } from "../../../policy/outbound/gateway-hosts.ts";
import { gatewaysAt, type MergedServer, mergeServers } from "../../../policy/outbound/gateway-servers.ts";
import { meshIndex } from "../../../policy/outbound/mesh-index.ts";
import { createProxyView } from "../../../policy/outbound/proxy-view.ts";
import { buildGatewayScope } from "../../../policy/outbound/sidecar-scope.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { gatewayHop } from "../../../policy/path/gateway-hop.ts";
import type { JourneyContext } from "../../../policy/path/journey.ts";
import { arrivalFrom, authorityOf, flightOf, senderOf } from "../../../policy/path/read-access.ts";
import type { Dimension } from "../../space/dimension.ts";
import { connectionOf, type SampleRequest } from "../../space/request-space.ts";
import { serverFacts } from "../server-facts.ts";
import { witnessRequest } from "../witness-request.ts";
import { answeredBy, type Passage, passageOf, REFUSED } from "./passage.ts";
import type { ProxySide } from "./proxy-side.ts";

export function gatewaySide(context: JourneyContext, workload: Workload): ProxySide {
  const { mesh, compiled } = context;
  const policy = compiled.inbound(workload);
  const servers = [...mergeServers(mesh, workload)];
  const all = servers.flatMap(([, own]) => own);
  const index = meshIndex(mesh);
  const scope = buildGatewayScope(index, workload.namespace);
  const view = createProxyView(index, scope, workload.namespace, workload.labels, true);
  const bound = all.flatMap((server) => boundTo(view, server));
  const isAsked = policy.http.custom !== null || policy.tcp.custom !== null;
  return {
    policies: [policy],
    ports: servers.map(([port]) => port),
    hosts: [
      ...all.flatMap(({ server }) => server.hosts),
      ...bound.flatMap(({ hosts, tls }) => [
        ...hosts,
        ...tls.flatMap(({ match = [] }) => match.flatMap(({ sniHosts = [] }) => sniHosts)),
      ]),
    ],
    matches: bound.flatMap(({ http }) => http.flatMap(({ route }) => route.match ?? [])),
    resources: serverFacts(mesh, workload).resources,
    read: gatewaysAt(mesh, workload),
    unclear: all.flatMap(mutualServer),
    takes(sample) {
      const chain = chainOf(policy, connectionOf(sample));
      if (chain.refusal !== null) return "nothing";
      return chain.protocol === "http" ? "requests" : "connections";
    },
    pass: (dimensions, sample) => passBy(context, workload, isAsked, dimensions, sample),
    witness: (dimensions, sample) => {
      const request = gatewayRequest(dimensions, sample, workload);
      const port = servicePort(context, workload, sample.port);
      return [{ ...request, via: workload.key, to: { host: dialledIn(sample), port } }];
    },
  };
}

/** Whose certificates such a server takes only its credential says. */
function mutualServer({ server }: MergedServer): readonly string[] {
  if (server.tls?.mode !== "MUTUAL") return [];
  return [
    `what clients with a certificate of the CA that ${server.gateway} server ${server.index} names may do (TLS mode MUTUAL), and which CA that is, is not compared`,
  ];
}

async function passBy(
  context: JourneyContext,
  workload: Workload,
  isAsked: boolean,
  dimensions: readonly Dimension[],
  sample: SampleRequest,
): Promise<Passage> {
  const { port } = sample;
  const address = workload.addresses[0] ?? "";
  const base = { ...gatewayRequest(dimensions, sample, workload), via: workload.key };
  if (port === 0) return REFUSED;
  const ask = (answer: "allow" | "deny") => {
    const request = answeredBy(base, answer);
    const flight = flightOf(request, authorityOf(request));
    const arrival = arrivalFrom(request, flight, senderOf(request, undefined), { workload, port, address });
    return gatewayHop(context, flight, arrival);
  };
  return passageOf(ask, isAsked, { host: "", port: 0 });
}

/** In clear, in TLS by a server name, or in the mesh's own. */
function gatewayRequest(
  dimensions: readonly Dimension[],
  sample: SampleRequest,
  { key }: Workload,
): AccessRequest {
  const request = witnessRequest(dimensions, sample, key);
  // Inside of the mesh's TLS the application's own names what the one outside names: what routes by it is asked, and policies.
  const isOwnTls = sample.sni !== "";
  const { to: _, ...rest } = request;
  return {
    ...rest,
    to: { host: dialledIn(sample), port: sample.port },
    ...(isOwnTls && sample.protocol === "tcp" ? { protocol: "tls" } : {}),
  };
}

function dialledIn({ protocol, host, sni }: SampleRequest): string {
  if (protocol === "http") return host;
  return sni === "" ? "host.example" : sni;
}

/** Clients outside know the ports of its Service; where it has none, its own. */
function servicePort({ mesh }: JourneyContext, workload: Workload, port: number): number {
  for (const { endpoints, ports } of mesh.services) {
    if (!endpoints.some((endpoint) => endpoint.workload === workload)) continue;
    const own = ports.find((each) => resolveTargetPort(each, workload) === port);
    if (own !== undefined) return own.port;
  }
  return port;
}
