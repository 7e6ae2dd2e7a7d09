/** What stands between clients and a service, or a workload, in ambient mode: its waypoint in one mesh, or nothing. */
import type { Service, Workload } from "../../../model/mesh.ts";
import { chainOf, type InboundPolicy } from "../../../policy/inbound.ts";
import { MESH_GATEWAY } from "../../../policy/outbound/host-name.ts";
import { meshIndex } from "../../../policy/outbound/mesh-index.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { hboneArrival } from "../../../policy/path/hbone-arrival.ts";
import type { Addressed, JourneyContext } from "../../../policy/path/journey.ts";
import { authorityOf, flightOf } from "../../../policy/path/read-access.ts";
import { waypointHop } from "../../../policy/path/waypoint-hop.ts";
import { waypointPolicies } from "../../../policy/policy-attachment.ts";
import { waypointOfService, waypointOfWorkload } from "../../../policy/waypoint/waypoints.ts";
import type { Dimension } from "../../space/dimension.ts";
import { connectionOf, type SampleRequest } from "../../space/request-space.ts";
import { ITSELF } from "../client/ways.ts";
import { witnessRequest } from "../witness-request.ts";
import { answeredBy, type Passage, passageOf, REFUSED } from "./passage.ts";
import type { ProxySide } from "./proxy-side.ts";

/** What is dialled. */
export type Subject =
  | { readonly kind: "service"; readonly service: Service }
  | { readonly kind: "workload"; readonly workload: Workload };

export function nameOfSubject(subject: Subject): string {
  return subject.kind === "service" ? subject.service.hostname : subject.workload.key;
}

export interface WaypointSide extends ProxySide {
  /** `namespace/name` of the waypoint's workload; null: clients send past any. */
  readonly waypoint: string | null;
}

/** A text: why it cannot be told which waypoint it is. */
export function waypointSide(context: JourneyContext, subject: Subject): WaypointSide | string {
  const { mesh } = context;
  const binding =
    subject.kind === "service"
      ? waypointOfService(mesh, subject.service)
      : waypointOfWorkload(mesh, subject.workload);
  if (binding.kind === "unknown") return binding.why;
  const waypoint = binding.kind === "bound" ? binding.waypoint.workload : undefined;
  if (binding.kind !== "bound" || waypoint === undefined) return withoutWaypoint(context, subject);
  const { gateway } = binding.waypoint;
  const compiled = context.compiled.waypoint(waypoint);
  const own = subject.kind === "service" ? compiled.service(subject.service) : undefined;
  const policy = own?.inbound ?? compiled.direct;
  const target = subject.kind === "service" ? subject.service : null;
  const of = (policies: typeof mesh.authorizationPolicies) =>
    waypointPolicies(policies, waypoint, target, mesh.config.rootNamespace);
  const routes = subject.kind === "service" ? routesOf(context, waypoint, subject.service) : [];
  return {
    waypoint: waypoint.key,
    policies: [policy],
    ports: policy.ports.keys(),
    hosts: [],
    matches: routes.flatMap(({ http }) => http.flatMap(({ route }) => route.match ?? [])),
    resources: [...of(mesh.authorizationPolicies), ...of(mesh.requestAuthentications)],
    read: [`Gateway ${gateway.namespace}/${gateway.name}`],
    unclear: [],
    takes(sample) {
      if (sample.principal === null) return "nothing";
      const chain = chainOf(policy, connectionOf(sample));
      if (chain.refusal !== null) return "nothing";
      return chain.protocol === "http" ? "requests" : "connections";
    },
    pass: (dimensions, sample) => passBy(context, { waypoint, policy, subject, dimensions, sample }),
    witness: (dimensions, sample) => witnesses(context, subject, dimensions, sample),
  };
}

function routesOf({ mesh }: JourneyContext, waypoint: Workload, service: Service) {
  return meshIndex(mesh)
    .virtualServices.forGateway(waypoint.namespace, MESH_GATEWAY)
    .filter(({ namespace }) => namespace === waypoint.namespace || namespace === service.namespace);
}

const BY_HBONE = { tls: "mtls", leaves: false, byGateway: false } as const;

const PAST: Passage = {
  rank: 2,
  ways: [{ to: ITSELF, ...BY_HBONE }],
  cause: "no-waypoint",
};

/** Whoever may reach the pods goes there. Ports that a service does not declare lead nowhere. */
function withoutWaypoint(context: JourneyContext, subject: Subject): WaypointSide {
  const ports = subject.kind === "service" ? subject.service.ports.map(({ port }) => port) : null;
  const isTaken = (port: number): boolean => ports === null || ports.includes(port);
  return {
    waypoint: null,
    policies: [],
    ports: ports ?? [],
    hosts: [],
    matches: [],
    resources: [],
    read: [],
    unclear: [],
    takes: ({ principal, port }) => (principal !== null && isTaken(port) ? "connections" : "nothing"),
    pass: async (_, { port }) => (isTaken(port) ? PAST : REFUSED),
    witness: (dimensions, sample) => witnesses(context, subject, dimensions, sample),
  };
}

interface Passing {
  readonly waypoint: Workload;
  readonly policy: InboundPolicy;
  readonly subject: Subject;
  readonly dimensions: readonly Dimension[];
  readonly sample: SampleRequest;
}

async function passBy(
  context: JourneyContext,
  { waypoint, policy, subject, dimensions, sample }: Passing,
): Promise<Passage> {
  const { port, principal, sourceIp } = sample;
  const address =
    (subject.kind === "service" ? subject.service.addresses[0] : subject.workload.addresses[0]) ?? "";
  const addressed: Addressed = { ...subject, port, address };
  const request = requestFor(dimensions, sample, subject);
  const sender = { name: principal ?? "", principal, ip: sourceIp };
  const arrival = { ...hboneArrival(waypoint, addressed, sender), addressed };
  const isAsked = policy.http.custom !== null || policy.tcp.custom !== null;
  const ask = (answer: "allow" | "deny") => {
    const answered = answeredBy(request, answer);
    return waypointHop(context, flightOf(answered, authorityOf(answered)), arrival, addressed);
  };
  const itself =
    subject.kind === "service" ? { host: subject.service.hostname.toLowerCase(), port } : { host: "", port };
  const passage = await passageOf(ask, isAsked, itself);
  // What is for a workload's own address goes to it.
  return subject.kind === "workload" && passage.rank > 0
    ? { ...passage, ways: PAST.ways }
    : withoutTls(passage);
}

/** To its own pods a waypoint speaks HBONE, as whoever sends past it does. */
function withoutTls(passage: Passage): Passage {
  const ways = passage.ways.map((way) => (way.to === ITSELF ? { ...way, ...BY_HBONE } : way));
  return { ...passage, ways };
}

function requestFor(
  dimensions: readonly Dimension[],
  sample: SampleRequest,
  subject: Subject,
): AccessRequest {
  const { from: _from, sni: _sni, to: _to, ...rest } = witnessRequest(dimensions, sample, "");
  const to =
    subject.kind === "service"
      ? { service: subject.service.hostname, port: sample.port }
      : { host: subject.workload.addresses[0] ?? subject.workload.key, port: sample.port };
  return { ...rest, to };
}

/** From workloads of the identity, whose own proxy finds the way by the waypoint. */
function witnesses(
  { mesh }: JourneyContext,
  subject: Subject,
  dimensions: readonly Dimension[],
  sample: SampleRequest,
): readonly AccessRequest[] {
  const request = requestFor(dimensions, sample, subject);
  return mesh.workloads
    .filter(
      ({ spiffeId, dataplane, role }) =>
        role === "application" && dataplane !== "none" && spiffeId === `spiffe://${sample.principal ?? ""}`,
    )
    .slice(0, 2)
    .map(({ key }) => ({ ...request, from: { workload: key } }));
}
