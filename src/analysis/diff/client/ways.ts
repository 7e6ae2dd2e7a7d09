/** Where a client's proxy lets a request go, in a form that two meshes can be compared by. */
import { isHostSubset } from "../../../policy/outbound/host-name.ts";
import type { ClusterPlan, OutboundDecision } from "../../../policy/outbound/types.ts";

/** One destination of a decision. */
export interface Way {
  /** `reviews.shop.svc.cluster.local:9080 subset v2`, or {@link ITSELF}. */
  readonly to: string;
  /** `mtls`: mutual TLS of the mesh, by the client's proxy. */
  readonly tls: string;
  /** Whether it leaves the mesh there, or goes to a gateway. */
  readonly leaves: boolean;
  readonly byGateway: boolean;
}

/** The host that was dialled, at the port that was: by a service of the mesh, or past them by its address. */
export const ITSELF = "the host dialled";

/** Empty where nothing is sent on: refused, redirected, or answered by the proxy. */
export function waysOf(decision: OutboundDecision, host: string, port: number): readonly Way[] {
  if (decision.kind !== "forward") return [];
  if (decision.targets.length === 0)
    return [{ to: ITSELF, tls: "plaintext", leaves: decision.dialled === undefined, byGateway: false }];
  return decision.targets.flatMap(({ weight, cluster }) =>
    weight === 0 && decision.weighted ? [] : cluster === undefined ? [] : [wayTo(cluster, host, port)],
  );
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
  };
}

/** What a client's own proxy did for the traffic before, and does no more. */
export type ClientWeakening =
  | "mutual TLS of the mesh is no longer used"
  | "it leaves past the egress gateway";

export interface WayChange {
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  readonly weakens: readonly ClientWeakening[];
  /** Whether something that is gained lies outside of the mesh. */
  readonly leaves: boolean;
}

/** Undefined where nothing that counts is different. */
export function compareWays(before: readonly Way[], after: readonly Way[]): WayChange | undefined {
  const gained = after.filter(({ to }) => !before.some((way) => way.to === to));
  const lost = before.filter(({ to }) => !after.some((way) => way.to === to));
  const weakens: ClientWeakening[] = [];
  const isClear = ({ to, tls }: Way): boolean =>
    tls !== "mtls" && before.some((way) => way.to === to && way.tls === "mtls");
  if (after.some(isClear)) weakens.push("mutual TLS of the mesh is no longer used");
  const wasGuarded = before.length > 0 && before.every(({ byGateway }) => byGateway);
  if (wasGuarded && after.some(({ leaves }) => leaves)) weakens.push("it leaves past the egress gateway");
  if (gained.length + lost.length + weakens.length === 0) return undefined;
  const names = (ways: readonly Way[]): string[] => [...new Set(ways.map(({ to }) => to))].sort();
  const leaves = gained.some((way) => way.leaves);
  return { gained: names(gained), lost: names(lost), weakens, leaves };
}
