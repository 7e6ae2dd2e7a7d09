/** A gateway as the client: what would come of a request that a route of it leads to a service. Whether there is such a route is asked with `via`. */
import type { Workload } from "../../model/mesh.ts";
import { clusterName } from "../outbound/host-name.ts";
import { compileDefaultRoute } from "../outbound/http-route.ts";
import { RequestView } from "../outbound/request-view.ts";
import { plainTarget } from "../outbound/targets.ts";
import { decideTcp } from "../outbound/tcp-forward.ts";
import type { ClusterPlan, DialedDestination, OutboundDecision } from "../outbound/types.ts";
import { routeStep } from "./client-hop.ts";
import { findService, meshDirectory } from "./compiled-policies.ts";
import {
  type Flight,
  type HopResult,
  type JourneyContext,
  type Sender,
  speaksHttp,
  unknownStep,
} from "./journey.ts";

export function gatewayClientHop(
  { mesh, compiled }: JourneyContext,
  flight: Flight,
  gateway: Workload,
  sender: Sender,
  dialled: DialedDestination,
): HopResult {
  const service = findService(meshDirectory(mesh), dialled.host ?? "", gateway.namespace);
  if (service === undefined) {
    const line =
      "unknown: a gateway sends only where its routes lead; ask about a service, or from outside with `via`";
    return { step: unknownStep(gateway.key, "client", "gateway-as-client", speaksHttp(flight), line) };
  }
  const name = clusterName(dialled.port, "", service.hostname.toLowerCase());
  const decision = routeTo(name, compiled.gateway(gateway).clusters().get(name), flight);
  const explain = (): readonly string[] => [
    `were a route of this gateway to lead to ${service.hostname}:${dialled.port}, this would come of it; whether one does is asked with \`via\``,
    decision.kind === "forward" ? `it sends it to ${name}` : `it has no ${name} that it could send to`,
  ];
  const step = routeStep(decision, gateway.key, "gateway", explain);
  if (decision.kind !== "forward") return { step };
  return { step: { ...step, to: name }, onward: { flight, sender, by: "gateway", decision, dialled } };
}

function routeTo(name: string, plan: ClusterPlan | undefined, flight: Flight): OutboundDecision {
  const by = { resource: null, section: "default", route: null } as const;
  if (plan === undefined || !speaksHttp(flight))
    return decideTcp({ by, targets: [plainTarget(name, plan)], weighted: false }, "", speaksHttp(flight));
  const { authority, method, path, headers } = flight;
  const view = new RequestView({ authority, method, headers }, path, path);
  return compileDefaultRoute(name, plan, undefined).decide(view, "");
}
