/** The client's side of a decision in the words of the recorded corpora. */
import type {
  ClusterPlan,
  DialedDestination,
  OutboundDecision,
  OutboundTarget,
  UpstreamTls,
} from "../outbound/types.ts";
import { isTunnelled } from "./tunnelled.ts";

/** One destination, and how the client's proxy reaches it. */
export interface DestinationFields {
  /** `outbound|<port>|<subset>|<host>`, `PassthroughCluster`, `BlackHoleCluster`. */
  readonly cluster?: string;
  /** `hbone`: mutual TLS to the ztunnel of a pod in ambient mode, of which no account is expected. */
  readonly tls?: UpstreamTls | "hbone" | "mixed";
  readonly tlsByEndpoint?: Readonly<Record<string, UpstreamTls | "hbone">>;
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
  const spoken = cluster.endpoints.map((plan) => spokenTo(cluster, plan));
  const isTunnel = spoken.includes("hbone");
  const tls = isTunnel ? together(spoken) : cluster.tls;
  const secure = isTunnel
    ? spoken.some((own) => own !== "plaintext" && own !== "hbone")
    : tls !== "plaintext";
  const byEndpoint = cluster.endpoints.map((plan, at) => [nameOf(plan), spoken[at] ?? plan.tls] as const);
  return {
    cluster: name,
    tls,
    ...(tls === "mixed" ? { tlsByEndpoint: Object.fromEntries(byEndpoint) } : {}),
    ...(secure && sni !== undefined ? { sni } : {}),
    ...(secure && sans !== undefined ? { sans } : {}),
    endpoints,
  };
}

type Spoken = UpstreamTls | "hbone";

function together(spoken: readonly Spoken[]): Spoken | "mixed" {
  const [first = "plaintext"] = spoken;
  return spoken.every((own) => own === first) ? first : "mixed";
}

function spokenTo(cluster: ClusterPlan, plan: ClusterPlan["endpoints"][number]): Spoken {
  const { workload } = plan.endpoint;
  return workload !== undefined && isTunnelled(workload, cluster) ? "hbone" : plan.tls;
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
