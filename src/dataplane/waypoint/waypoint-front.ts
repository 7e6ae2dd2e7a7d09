import type { PodPlacement } from "../../model/placement.ts";
import type { OutboundDecision } from "../../policy/outbound/types.ts";
import { fieldLines, NO_FIELD_LINES } from "../codec/head-writer.ts";
import type { AuthorizerClient } from "../ext-authz/authorizer-client.ts";
import type { LineEdit } from "../ext-authz/edit-lines.ts";
import type { HttpAction, RequestView } from "../http-service.ts";
import { noteVerdict } from "../relay-routed.ts";
import type { NotedHeaders } from "../request-headers.ts";
import { type PermittedRequest, type RoutingFront, sendRouted } from "../routing-service.ts";
import { nextPod, noteWithoutHbone } from "./next-pod.ts";
import type { WaypointPlace } from "./waypoint-state.ts";

const CLAIMED: ReadonlySet<string> = new Set(["x-forwarded-client-cert"]);

/** HTTP at a waypoint: routed by what is bound to the service, or sent to the very pod that was asked for. */
export class WaypointFront implements RoutingFront {
  readonly #place: WaypointPlace;
  readonly #pod: PodPlacement;
  readonly #clientCert: string | undefined;

  /**
   * @param pod the waypoint's own.
   * @param clientCert what the server is told of the client's certificate.
   */
  constructor(place: WaypointPlace, pod: PodPlacement, clientCert: string | undefined) {
    this.#place = place;
    this.#pod = pod;
    this.#clientCert = clientCert;
  }

  get policy(): WaypointPlace["inbound"] {
    return this.#place.inbound;
  }

  get authorizers(): AuthorizerClient {
    return this.#place.state.authorizers;
  }

  /** X-Forwarded-For is left as it is: a waypoint adds nothing to it (istiod: use_remote_address is off). */
  ownEdit(_view: RequestView, { forged }: NotedHeaders): LineEdit {
    const remove = forged === undefined ? CLAIMED : CLAIMED.union(forged);
    const cert = this.#clientCert;
    const add = cert === undefined ? undefined : fieldLines("x-forwarded-client-cert", cert);
    return { remove, add: add ?? NO_FIELD_LINES };
  }

  send(request: PermittedRequest): HttpAction | Promise<HttpAction> {
    const { routes, port, state } = this.#place;
    if (routes === undefined) return this.#sendToPod(request);
    const { authority, method, path, headers, claims, leave, flow } = request;
    const parts = { authority, method, path, headers, roll: Math.random() };
    const decision = routes.routeHttp(port, claims === undefined ? parts : { ...parts, claims });
    const action = sendRouted(reachable(decision), state.picker, request, port);
    // What is answered here, at once or after a delay, has its route's words.
    if (!(action instanceof Promise) && action.kind === "forward") noteVerdict(flow, leave.verdict);
    return action;
  }

  #sendToPod({ leave, view, path, own, http2, flow }: PermittedRequest): HttpAction {
    noteVerdict(flow, leave.verdict);
    const next = nextPod(this.#place, this.#pod, http2 ? "http2" : "http1");
    if (next === undefined) {
      noteWithoutHbone(flow, this.#place);
      flow.status = 503;
      return { kind: "reply", status: 503, fields: NO_FIELD_LINES, body: "", flow };
    }
    return {
      kind: "forward",
      leave,
      edit: { remove: own.remove, add: own.add, ...(path === view.path ? {} : { path }) },
      responseEdit: undefined,
      next,
      timeoutMs: 0,
      flow,
    };
  }
}

/**
 * Where the client dialled is the service's own address, and its Host header is anybody's word: a cluster that leaves the choice to the client
 * (loadBalancer PASSTHROUGH) leads nowhere from here.
 */
export function reachable(decision: OutboundDecision): OutboundDecision {
  if (decision.kind !== "forward") return decision;
  const { by, listener, targets } = decision;
  const isOpen = targets.some(({ cluster }) => cluster?.resolution === "original-destination");
  return isOpen
    ? {
        kind: "refuse",
        allowed: false,
        code: decision.code === 0 ? 0 : 503,
        reason: "no-healthy-upstream",
        by,
        listener,
      }
    : decision;
}
