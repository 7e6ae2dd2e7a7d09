/** The client's side of a decision in the words of the recorded corpora. */
import type {
  ClusterPlan,
  DialedDestination,
  OutboundDecision,
  OutboundTarget,
  UpstreamTls,
} from "../outbound/types.ts";

/** One destination, and how the client's proxy reaches it. */
export interface DestinationFields {
  /** `outbound|<port>|<subset>|<host>`, `PassthroughCluster`, `BlackHoleCluster`. */
  readonly cluster?: string;
  readonly tls?: UpstreamTls | "mixed";
  readonly tlsByEndpoint?: Readonly<Record<string, UpstreamTls>>;
  readonly sni?: string;
  readonly sans?: readonly string[];
  /** `address:port`; replicas without an address by their workload's name. */
  readonly endpoints?: readonly string[];
}

export interface WeightedDestination extends DestinationFields {
  readonly weight: number;
}

export interface ClientFields extends DestinationFields {
  /** Instead of the fields of one destination, where a route has several. */
  readonly clusters: readonly WeightedDestination[];
  readonly location: string;
  readonly body: string;
  /** What the destination is sent, where it is not what was asked for. */
  readonly upstreamPath: string;
  readonly upstreamHost: string;
}

/** @param endpointNeeded whether the address of a headless or external destination is told: where it is known. */
export function clientFields(decision: OutboundDecision, dialled: DialedDestination): Partial<ClientFields> {
  switch (decision.kind) {
    case "refuse":
      return decision.cluster === undefined || decision.reason === "no-cluster"
        ? {}
        : { cluster: decision.cluster };
    case "respond":
      return {
        ...(decision.cluster === undefined ? {} : { cluster: decision.cluster }),
        ...(decision.location === undefined ? {} : { location: decision.location }),
        ...(decision.body === undefined ? {} : { body: decision.body }),
      };
    case "forward": {
      const { path, authority, originalAuthority } = decision;
      const rewritten = authority === originalAuthority ? undefined : authority;
      return {
        ...targetsFields(decision.targets, decision.weighted, dialled),
        ...(path === undefined ? {} : { upstreamPath: path }),
        ...(rewritten === undefined ? {} : { upstreamHost: rewritten }),
      };
    }
  }
}

function targetsFields(
  targets: readonly OutboundTarget[],
  weighted: boolean,
  dialled: DialedDestination,
): Partial<ClientFields> {
  const [only] = targets;
  if (only === undefined)
    return { cluster: "PassthroughCluster", tls: "plaintext", endpoints: [chosen(dialled, dialled.port)] };
  if (!weighted) return targetFields(only, dialled);
  return {
    clusters: targets.map((target) => ({ ...targetFields(target, dialled), weight: target.weight })),
  };
}

function targetFields(
  { name, cluster, sni, sans }: OutboundTarget,
  dialled: DialedDestination,
): DestinationFields {
  const endpoints = cluster === undefined ? [] : endpointsOf(cluster, dialled);
  if (cluster === undefined || endpoints.length === 0) return { cluster: name };
  const secure = cluster.tls !== "plaintext";
  const byEndpoint = cluster.endpoints.map((plan) => [nameOf(plan), plan.tls] as const);
  return {
    cluster: name,
    tls: cluster.tls,
    ...(cluster.tls === "mixed" ? { tlsByEndpoint: Object.fromEntries(byEndpoint) } : {}),
    ...(secure && sni !== undefined ? { sni } : {}),
    ...(secure && sans !== undefined ? { sans } : {}),
    endpoints,
  };
}

/** Where the client chose the address itself, that one. */
function endpointsOf({ resolution, dialPort, endpoints }: ClusterPlan, dialled: DialedDestination): string[] {
  if (resolution === "original-destination" || resolution === "dynamic-dns")
    return [chosen(dialled, dialPort ?? dialled.port)];
  return endpoints.map(nameOf);
}

function chosen({ ip, host }: DialedDestination, port: number): string {
  return `${ip ?? host ?? ""}:${port}`;
}

function nameOf({ address, endpoint, port }: ClusterPlan["endpoints"][number]): string {
  return `${address ?? endpoint.workload?.key ?? ""}:${port}`;
}
