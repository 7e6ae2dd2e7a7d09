/** Where a client's proxy may have sent what a record tells: records of clients name hosts, and routes tell paths, methods and headers apart. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { compileOutbound } from "../../policy/outbound/compile-outbound.ts";
import type { ClusterPlan, OutboundDecision, OutboundPolicy } from "../../policy/outbound/types.ts";
import { type RouteRequest, routeCells } from "../diff/client/route-cells.ts";
import { routeMatches } from "../diff/client/route-matches.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { ClientFlow } from "./flow-reading.ts";
import { serviceNamed } from "./same-way.ts";

export interface FlowWays {
  /** Every destination that some request for the host has, copies (mirrors) too. */
  readonly clusters: readonly ClusterPlan[];
  /** Whether some go to the very address that was dialled, by no service. */
  readonly isPassedOn: boolean;
}

export class ClientWays {
  readonly #mesh: Mesh;
  readonly #requests = new Map<string, readonly RouteRequest[] | string>();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** @returns a text where routes ask for what is not followed. */
  of(client: Workload, flow: ClientFlow): FlowWays | string {
    const decisions = this.#decisions(client, flow);
    if (typeof decisions === "string") return decisions;
    const clusters = new Set<ClusterPlan>();
    for (const decision of decisions) for (const cluster of clustersOf(decision)) clusters.add(cluster);
    const isPassedOn = decisions.some(
      (decision) => decision.kind === "forward" && decision.targets.length === 0,
    );
    return { clusters: [...clusters], isPassedOn };
  }

  #decisions(
    client: Workload,
    { host: asked, port, protocol }: ClientFlow,
  ): readonly OutboundDecision[] | string {
    const policy: OutboundPolicy = compileOutbound(this.#mesh, client);
    // DNS knows short names; what is dialled is where they lead.
    const host = serviceNamed(this.#mesh, asked, client.namespace)?.hostname ?? asked;
    const dialled = { host, port };
    if (protocol === "tcp") return [policy.routeTcp(dialled)];
    if (protocol === "tls") return [policy.routeTls({ ...dialled, sni: asked })];
    const requests = this.#requestsFor(host);
    if (typeof requests === "string") return requests;
    const authority = port === 80 ? asked : `${asked}:${port}`;
    return requests.map((request) => policy.routeHttp({ ...dialled, authority, ...request }));
  }

  /** One of each kind that routes tell apart. */
  #requestsFor(host: string): readonly RouteRequest[] | string {
    let known = this.#requests.get(host);
    if (known === undefined) {
      try {
        known = routeCells(routeMatches(this.#mesh, host)).requests;
      } catch (error) {
        if (!(error instanceof AnalysisLimit)) throw error;
        known = `where requests for ${host} go is not followed: ${error.message}`;
      }
      this.#requests.set(host, known);
    }
    return known;
  }
}

function clustersOf(decision: OutboundDecision): readonly ClusterPlan[] {
  const targets = decision.targets ?? [];
  const mirrors = decision.kind === "refuse" ? [] : (decision.http?.mirrors ?? []);
  return [...targets, ...mirrors].flatMap(({ cluster }) => cluster ?? []);
}
