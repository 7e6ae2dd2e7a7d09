/** Follows a request from hop to hop, over every destination that it may be sent to. */
import type { Workload } from "../../model/mesh.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { parseIpAddress } from "../ip-address.ts";
import type { DialedDestination } from "../outbound/types.ts";
import type { AccessRequest } from "./access-request.ts";
import { ambientClientHop } from "./ambient-client.ts";
import { ambientServerHop } from "./ambient-hop.ts";
import { isUncaptured, outboundBypass, workloadAt } from "./capture.ts";
import { type ClientFields, clientFields } from "./client-fields.ts";
import { type ClientHop, clientHop } from "./client-hop.ts";
import { findService, meshDirectory } from "./compiled-policies.ts";
import type { HopVerdict } from "./decision.ts";
import { gatewayClientHop } from "./gateway-client.ts";
import { gatewayHop } from "./gateway-hop.ts";
import {
  type Arrival,
  type Flight,
  type HopResult,
  type JourneyContext,
  meshAlpn,
  type Sender,
  type Step,
  speaksHttp,
  unknownStep,
} from "./journey.ts";
import {
  leaving,
  type NetworkSource,
  networkSteps,
  outsidePlace,
  outsideSource,
  outsideSteps,
} from "./network-hop.ts";
import { onwardEnds } from "./onward-ends.ts";
import { placesOf } from "./places.ts";
import { arrivalFrom, authorityOf, flightOf, senderOf } from "./read-access.ts";
import { hboneServerHop, serverHop } from "./server-hop.ts";
import {
  captureUnknown,
  interceptionUnknown,
  loopStep,
  nobodyStep,
  noProxyStep,
  uncaptured,
  waypointAsClient,
} from "./undecided-steps.ts";
import { waypointHop } from "./waypoint-hop.ts";

/** One of the ways that a request may take, as far as it comes. */
export interface Way {
  readonly steps: readonly Step[];
  /** Clusters and workloads by which it goes. */
  readonly by: readonly string[];
}

export interface DecidedWays {
  /** The first is that of the first destination of every route. Never empty. */
  readonly ways: readonly Way[];
  /** Empty where the client's side was not asked. */
  readonly fields: Partial<ClientFields>;
}

/** Who decided on one way: the last hop that it came to. Its status is told by the last that speaks HTTP. */
export function outcomeOf({ steps }: Way): HopVerdict {
  const last = steps.at(-1);
  if (last === undefined) throw new Error("BUG: a way without hops");
  const relayed = !last.allowed && last.code === 0 && steps.some((step) => step.answersHttp);
  return { ...verdictOf(last), code: relayed ? 503 : last.code };
}

export function verdictOf({ explain: _explain, answersHttp: _answersHttp, ...verdict }: Step): HopVerdict {
  return verdict;
}

/** More gateways than this one after another are a loop. */
const MAX_HOPS = 8;

export async function decideWays(
  context: JourneyContext,
  request: AccessRequest,
  clientOnly: boolean,
): Promise<DecidedWays> {
  const { to, from = {}, via } = request;
  const directory = meshDirectory(context.mesh);
  const client = from.workload === undefined ? undefined : known(context, from.workload);
  const sender = senderOf(request, client);
  const flight = flightOf(request, authorityOf(request));
  const source = client ?? outsideSource(request, sender);
  if (via !== undefined)
    return arrivals(
      context,
      flight,
      gatewayArrivals(context, request, sender),
      outsideSource(request, sender),
    );
  if (to.workload !== undefined) {
    const workload = known(context, to.workload);
    const address = workload.addresses[0] ?? "";
    return arrivals(
      context,
      flight,
      [arrivalFrom(request, flight, sender, { workload, port: to.port, address })],
      source,
      true,
    );
  }
  const dialled = dialledOf(to);
  const pastProxy = from.principal !== undefined || from.tls !== undefined;
  const service = findService(directory, dialled.host ?? "", client?.namespace);
  if (client !== undefined && !pastProxy && client.dataplane !== "none") {
    if (isUncaptured(context.mesh, client))
      return { ways: [{ steps: [interceptionUnknown(client, "client", flight)], by: [] }], fields: {} };
    const bypass = outboundBypass(client, dialled, service, context.semantics);
    if (bypass === undefined) return fromClient(context, flight, client, sender, dialled, clientOnly);
    const step =
      bypass === "unknown" ? captureUnknown(client, flight) : uncaptured(client, flight, bypass.annotation);
    const clear = { ...sender, principal: null };
    return pastSidecar(
      context,
      request,
      flight,
      clear,
      step,
      dialled,
      clientOnly ? null : placesOf(context.mesh, dialled, service),
    );
  }
  const places = placesOf(context.mesh, dialled, service);
  const reached = (places ?? []).flatMap(({ workload, port, address }) =>
    workload === undefined ? [] : [arrivalFrom(request, flight, sender, { workload, port, address })],
  );
  if (reached.length > 0) return arrivals(context, flight, reached, source);
  const last = noProxyStep(sender, flight, places?.length !== 0);
  const steps = last.allowed ? leaving(outsideSteps(context.mesh, flight, source, dialled), last) : [last];
  return { ways: [{ steps, by: [] }], fields: {} };
}

/** @param places null: it leaves the mesh, or nobody asks who serves it. */
async function pastSidecar(
  context: JourneyContext,
  request: AccessRequest,
  flight: Flight,
  sender: Sender,
  step: Step,
  dialled: DialedDestination,
  places: ReturnType<typeof placesOf>,
): Promise<DecidedWays> {
  const fields = step.allowed ? { tls: "plaintext" as const } : {};
  const client = known(context, step.hop);
  const outside = (place: { readonly ip?: string; readonly port: number }): readonly Step[] =>
    leaving(outsideSteps(context.mesh, flight, client, place), step);
  if (!step.allowed) return { ways: [{ steps: [step], by: [] }], fields };
  if (places === null) return { ways: [{ steps: outside(dialled), by: [] }], fields };
  const ways: Way[] = [];
  for (const { workload, port, address } of places) {
    if (workload === undefined) {
      ways.push({ steps: outside({ ip: address, port }), by: [address] });
      continue;
    }
    const arrival = arrivalFrom(request, flight, sender, { workload, port, address });
    const by = [`${workload.key}:${port}`];
    ways.push(...(await through(context, [step], by, client, flight, arrival)));
  }
  return { ways: ways.length === 0 ? [{ steps: [step, nobodyStep(step, flight)], by: [] }] : ways, fields };
}

function known({ mesh }: JourneyContext, key: string): Workload {
  const workload = meshDirectory(mesh).workloads.get(key);
  if (workload === undefined)
    throw new BulwarkError("BW_REQUEST_INVALID", `the mesh has no workload \`${key}\``);
  return workload;
}

function dialledOf({ service, host, ip, port }: AccessRequest["to"]): DialedDestination {
  const name = service ?? host ?? "";
  const literal = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
  if (ip !== undefined) return { ip, port };
  return parseIpAddress(literal) === undefined ? { host: name, port } : { ip: literal, port };
}

async function fromClient(
  context: JourneyContext,
  flight: Flight,
  client: Workload,
  sender: Sender,
  dialled: DialedDestination,
  clientOnly: boolean,
): Promise<DecidedWays> {
  const result = clientResult(context, flight, client, sender, dialled);
  const { fields } = result;
  if (clientOnly) return { ways: [{ steps: [result.step], by: [] }], fields };
  const isPassedOn = result.onward === undefined && result.step.allowed;
  if (isPassedOn) {
    const network = outsideSteps(context.mesh, flight, client, dialled);
    return { ways: [{ steps: leaving(network, result.step), by: [] }], fields };
  }
  return { ways: await follow(context, [], [], result), fields };
}

function clientResult(
  context: JourneyContext,
  flight: Flight,
  client: Workload,
  sender: Sender,
  dialled: DialedDestination,
): ClientHop {
  switch (client.role) {
    case "gateway":
      return { ...gatewayClientHop(context, flight, client, sender, dialled), fields: {} };
    case "waypoint":
      return { step: waypointAsClient(client, speaksHttp(flight)), fields: {} };
    default:
      return client.dataplane === "ambient"
        ? { ...ambientClientHop(context, flight, client, sender, dialled), fields: {} }
        : clientHop(context, flight, client, sender, dialled);
  }
}

/** A gateway's port as clients outside know it is its Service's. */
function gatewayArrivals(
  context: JourneyContext,
  request: AccessRequest,
  sender: Sender,
): readonly Arrival[] {
  const gateway = known(context, request.via ?? "");
  const flight = flightOf(request, authorityOf(request));
  const address = gateway.addresses[0] ?? "";
  const fronts = context.mesh.services.filter(({ endpoints }) =>
    endpoints.some(({ workload }) => workload === gateway),
  );
  for (const service of fronts) {
    const places = placesOf(context.mesh, { host: service.hostname, port: request.to.port }, service) ?? [];
    const own = places.find(({ workload }) => workload === gateway);
    if (own !== undefined) return [arrivalFrom(request, flight, sender, { ...own, workload: gateway })];
  }
  return [arrivalFrom(request, flight, sender, { workload: gateway, port: request.to.port, address })];
}

async function arrivals(
  context: JourneyContext,
  flight: Flight,
  reached: readonly Arrival[],
  source: NetworkSource,
  lastHop = false,
): Promise<DecidedWays> {
  const ways: Way[] = [];
  let fields: Partial<ClientFields> = {};
  for (const arrival of reached) {
    const by = [`${arrival.workload.key}:${arrival.port}`];
    // Of the server's side alone the client's own policies are not asked.
    const network = networkSteps(context.mesh, flight, source, arrival, lastHop);
    if (network.some(({ allowed }) => !allowed)) {
      ways.push({ steps: network, by });
      continue;
    }
    const result = lastHop
      ? await serverHopOf(context, flight, arrival)
      : await arrive(context, flight, arrival);
    const { onward } = result;
    // A gateway's own word stands where a client's proxy has none.
    if (onward !== undefined && "decision" in onward) fields = clientFields(onward.decision, onward.dialled);
    ways.push(...(await follow(context, network, by, result)));
  }
  return { ways, fields };
}

async function follow(
  context: JourneyContext,
  before: readonly Step[],
  by: readonly string[],
  { step, onward }: HopResult,
): Promise<readonly Way[]> {
  const steps = [...before, step];
  if (onward === undefined) return [{ steps, by }];
  if (steps.filter(({ layer }) => layer !== "network").length >= MAX_HOPS)
    return [{ steps: [...steps, loopStep(step, MAX_HOPS, onward.flight)], by }];
  const ways: Way[] = [];
  for (const end of onwardEnds(context.mesh, onward, context.semantics)) {
    const ending = [...by, end.way];
    if (end.kind === "refused") {
      ways.push({ steps: [...steps, end.step], by: ending });
      continue;
    }
    const source = meshDirectory(context.mesh).workloads.get(step.hop) ?? {};
    if (end.kind === "outside") {
      const network = outsideSteps(context.mesh, onward.flight, source, outsidePlace(onward, end));
      ways.push({ steps: [...before, ...leaving(network, step)], by: ending });
    } else ways.push(...(await through(context, steps, ending, source, end.flight, end.arrival)));
  }
  return ways.length === 0 ? [{ steps: [...steps, nobodyStep(step, onward.flight)], by }] : ways;
}

/** By the network to the next hop, and on from there. */
async function through(
  context: JourneyContext,
  steps: readonly Step[],
  by: readonly string[],
  source: NetworkSource,
  flight: Flight,
  arrival: Arrival,
): Promise<readonly Way[]> {
  const passed = [...steps, ...networkSteps(context.mesh, flight, source, arrival)];
  if (passed.at(-1)?.allowed === false) return [{ steps: passed, by }];
  return follow(context, passed, by, await arrive(context, flight, arrival));
}

function arrive(context: JourneyContext, flight: Flight, arrival: Arrival): Promise<HopResult> {
  const { addressed } = arrival;
  if (addressed !== undefined) return waypointHop(context, flight, arrival, addressed);
  return arrival.workload.role === "gateway"
    ? gatewayHop(context, flight, arrival)
    : serverHopOf(context, flight, arrival);
}

/** The pod's own proxy. A waypoint is never there: who sends by one sends to it first. */
async function serverHopOf(context: JourneyContext, flight: Flight, arrival: Arrival): Promise<HopResult> {
  const { key, dataplane, role } = arrival.workload;
  const line =
    "unknown: what a waypoint makes of who speaks to itself is not decided; ask about what it stands before";
  if (role === "waypoint")
    return { step: unknownStep(key, "server", "waypoint-as-server", speaksHttp(flight), line) };
  const workload = workloadAt(arrival.workload, arrival.port, context.semantics);
  if (dataplane === "none" || workload.dataplane === "none")
    return serverHop(context, flight, { ...arrival, workload });
  const ambient = (dataplane === "ambient") !== (context.otherMode === true);
  // ztunnel's clients have no ALPN of a sidecar's: what is compared is the server alone.
  if (ambient) return ambientServerHop(context, flight, arrival);
  if (isUncaptured(context.mesh, workload)) return { step: interceptionUnknown(workload, "server", flight) };
  if (arrival.hbone === true && context.otherMode !== true) return hboneServerHop(context, flight, arrival);
  const bare = context.otherMode === true && arrival.tls === "mtls" && arrival.alpn.length === 0;
  return serverHop(context, flight, bare ? { ...arrival, alpn: meshAlpn(flight) } : arrival);
}
