/** Where a client's proxy lets a request go, in a form that two meshes can be compared by. */
import type { Mesh } from "../../../model/mesh.ts";
import { isHostSubset } from "../../../policy/outbound/host-name.ts";
import type { ClusterPlan, EndpointPlan, OutboundDecision } from "../../../policy/outbound/types.ts";
import { compileTransport } from "../../../policy/peer-authentication.ts";
import { askedAs } from "./asked-as.ts";

/** One destination of a decision. */
export interface Way {
  /** `reviews.shop.svc.cluster.local:9080 subset v2`, or {@link ITSELF}. */
  readonly to: string;
  /** `mtls`: mutual TLS of the mesh, by the client's proxy. */
  readonly tls: ClusterPlan["tls"];
  /** Whether it leaves the mesh there, or goes to a gateway. */
  readonly leaves: boolean;
  readonly byGateway: boolean;
  /** Whether a waypoint stands between. */
  readonly byWaypoint?: true;
  /** Who answers there. */
  readonly endpoints?: readonly EndpointPlan[];
  /** What the server is asked instead of what the client asks, see {@link askedAs}. */
  readonly asks?: string;
}

/** The host that was dialled, at the port that was: by a service of the mesh, or past them by its address. */
export const ITSELF = "the host dialled";

/** Empty where nothing is sent on: refused, redirected, or answered by the proxy. */
export function waysOf(decision: OutboundDecision, host: string, port: number): readonly Way[] {
  if (decision.kind !== "forward") return [];
  if (decision.targets.length === 0)
    return [{ to: ITSELF, tls: "plaintext", leaves: decision.dialled === undefined, byGateway: false }];
  return decision.targets.flatMap((target) => {
    const { weight, cluster } = target;
    if ((weight === 0 && decision.weighted) || cluster === undefined) return [];
    const asks = askedAs(decision, target);
    return [{ ...wayTo(cluster, host, port), ...(asks === undefined ? {} : { asks }) }];
  });
}

function wayTo(cluster: ClusterPlan, host: string, port: number): Way {
  const { subset, service, endpoints, tls } = cluster;
  const isItself = isHostSubset(host, cluster.host) && cluster.port === port && subset === "";
  const workloads = endpoints.flatMap(({ endpoint }) => endpoint.workload ?? []);
  const name = `${cluster.host}:${cluster.port}${subset === "" ? "" : ` subset ${subset}`}`;
  return {
    to: isItself ? ITSELF : name,
    tls,
    leaves: service.origin === "service-entry" && workloads.length === 0,
    byGateway: workloads.length > 0 && workloads.every(({ role }) => role === "gateway"),
    endpoints,
  };
}

/** What a client's own proxy did for the traffic before, and does no more. */
export type ClientWeakening =
  | "mutual TLS of the mesh is no longer used"
  | "TLS is no longer used"
  | "it leaves past the egress gateway"
  | "it goes past the waypoint";

export interface WayChange {
  /** Destinations; where one is sent to in another way than before, how: `the host dialled, by mutual TLS of the mesh`. */
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  readonly weakens: readonly ClientWeakening[];
  /** Whether something that is gained lies outside of the mesh. */
  readonly leaves: boolean;
  /** Whether servers that both send to are asked otherwise. */
  readonly asksOtherwise?: true;
}

export interface WayComparison {
  /** The server's end alone has changed: TLS that follows it is a matter of what the server lets through. */
  readonly tlsFollows?: boolean;
  /** To see which servers have not changed after all: TLS to them follows nobody. */
  readonly meshes?: readonly Mesh[];
}

/** Undefined where nothing that counts is different. */
export function compareWays(
  before: readonly Way[],
  after: readonly Way[],
  { tlsFollows = false, meshes = [] }: WayComparison = {},
): WayChange | undefined {
  const gained = after.filter(({ to }) => !before.some((way) => way.to === to));
  const lost = before.filter(({ to }) => !after.some((way) => way.to === to));
  const weakens: ClientWeakening[] = [];
  const turned = (from: readonly Way["tls"][], into: readonly Way["tls"][]): string[] =>
    after.flatMap((way) => {
      const had = before.some((old) => old.to === way.to && from.includes(old.tls));
      return had && into.includes(way.tls) ? [way.to] : [];
    });
  const unmeshed = turned(["mtls"], ["plaintext", "simple", "mutual", "mixed"]);
  if (unmeshed.length > 0) weakens.push("mutual TLS of the mesh is no longer used");
  const cleared = turned(["simple", "mutual"], ["plaintext"]);
  if (cleared.length > 0) weakens.push("TLS is no longer used");
  const passed = after.flatMap(({ to, byWaypoint }) =>
    byWaypoint !== true && before.some((way) => way.to === to && way.byWaypoint) ? [to] : [],
  );
  if (passed.length > 0) weakens.push("it goes past the waypoint");
  const told = new Set([...unmeshed, ...cleared, ...passed]);
  const wasGuarded = before.length > 0 && before.every(({ byGateway }) => byGateway);
  if (wasGuarded && after.some(({ leaves }) => leaves)) weakens.push("it leaves past the egress gateway");
  const [old, own] = meshes;
  const isFollowing = ({ to }: Way): boolean =>
    tlsFollows &&
    (old === undefined || own === undefined || serversText(old, before, to) !== serversText(own, after, to));
  const now = otherwise(after, before, told, isFollowing);
  const was = otherwise(before, after, told, isFollowing);
  const asked = [askedOtherwise(after, before), askedOtherwise(before, after)] as const;
  if ([gained, lost, weakens, now, was, ...asked].every(({ length }) => length === 0)) return undefined;
  const names = (ways: readonly Way[], others: readonly string[]): string[] =>
    [...new Set([...ways.map(({ to }) => to), ...others])].sort();
  const leaves = gained.some((way) => way.leaves);
  return {
    gained: names(gained, [...now, ...asked[0]]),
    lost: names(lost, [...was, ...asked[1]]),
    weakens,
    leaves,
    ...(asked.some(({ length }) => length > 0) ? { asksOtherwise: true } : {}),
  };
}

/** Where both send, but ask what the others do not. */
function askedOtherwise(ways: readonly Way[], others: readonly Way[]): readonly string[] {
  return ways.flatMap(({ to, asks }) => {
    const known = others.filter((way) => way.to === to);
    const isSame = known.length === 0 || known.some((way) => way.asks === asks);
    return isSame ? [] : [`${to}, ${asks ?? "as it comes"}`];
  });
}

/** Where both send, but by TLS, or by a waypoint, that the others do not use. */
function otherwise(
  ways: readonly Way[],
  others: readonly Way[],
  told: ReadonlySet<string>,
  isFollowing: (way: Way) => boolean,
): readonly string[] {
  return ways.flatMap((way) => {
    const known = others.filter(({ to }) => to === way.to).map(manner);
    const isToldOrSame = told.has(way.to) || known.length === 0 || known.includes(manner(way));
    return isToldOrSame || isFollowing(way) ? [] : [`${way.to}, ${manner(way)}`];
  });
}

/** What those who answer there ask of TLS. */
function serversText(mesh: Mesh, ways: readonly Way[], to: string): string {
  const plans = ways.filter((way) => way.to === to).flatMap(({ endpoints = [] }) => endpoints);
  const texts = plans.flatMap(({ endpoint: { workload }, port }) => {
    if (workload === undefined) return [];
    const { key, dataplane, tlsMode } = workload;
    const rules = compileTransport(mesh, workload);
    return [[key, dataplane, tlsMode, port, (rules.ports.get(port) ?? rules.workload).mode].join(" ")];
  });
  return texts.sort().join();
}

function manner({ tls, byWaypoint }: Way): string {
  return `${TLS_WORDS[tls]}${byWaypoint === true ? " and its waypoint" : ""}`;
}

const TLS_WORDS: Readonly<Record<Way["tls"], string>> = {
  mtls: "by mutual TLS of the mesh",
  plaintext: "in clear",
  simple: "by TLS without a certificate of its own",
  mutual: "by TLS with a certificate from files",
  mixed: "by mutual TLS of the mesh to some endpoints, and in clear to others",
};
