import { trustedProto, withPeer } from "../policy/proxy-headers.ts";
import { fieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import type { LineEdit } from "./ext-authz/edit-lines.ts";
import type { GatewayState } from "./gateway-state.ts";
import type { HttpAction, RequestView } from "./http-service.ts";
import type { NotedHeaders } from "./request-headers.ts";
import { type PermittedRequest, type RoutingFront, type RoutingPeer, sendRouted } from "./routing-service.ts";

/** What every request of one connection at a gateway has in common. */
export interface GatewayPeer extends RoutingPeer {
  /** Of X-Forwarded-Client-Cert; undefined for a peer without a certificate. */
  readonly clientCertElement: string | undefined;
}

/** Headers that tell what only the first proxy of the mesh can know: never the client's word. */
const CLAIMED: ReadonlySet<string> = new Set([
  "x-forwarded-client-cert",
  "x-forwarded-proto",
  "x-forwarded-for",
]);

/** HTTP at a gateway: routed by the VirtualServices that are bound to the server that took the connection. */
export class GatewayFront implements RoutingFront {
  readonly #peer: GatewayPeer;
  readonly #state: GatewayState;

  constructor(peer: GatewayPeer, state: GatewayState) {
    this.#peer = peer;
    this.#state = state;
  }

  get policy(): GatewayState["policy"] {
    return this.#state.policy;
  }

  get authorizers(): AuthorizerClient {
    return this.#state.authorizers;
  }

  send(request: PermittedRequest): HttpAction | Promise<HttpAction> {
    const { sni, destination } = this.#peer;
    const { port } = destination;
    const { authority, method, path, headers, claims } = request;
    const { routes, picker } = this.#state;
    const decision = routes.routeHttp({
      port,
      authority,
      method,
      path,
      headers,
      roll: Math.random(),
      ...(claims === undefined ? {} : { claims }),
      ...(sni === undefined ? {} : { sni }),
    });
    return sendRouted(decision, picker, request, port);
  }

  /** The peer's address behind those that it claims itself, and its certificate in place of any that it claims (SANITIZE_SET). */
  ownEdit(view: RequestView, noted: NotedHeaders): LineEdit {
    const { source, clientCertElement, tls } = this.#peer;
    const chain = withPeer(noted.forwardedFor ?? null, source.ip ?? "");
    const told = trustedProto(view.headers, this.policy.forwardedFor);
    const proto = told ?? (tls === undefined ? "http" : "https");
    const fields = ["x-forwarded-for", chain, "x-forwarded-proto", proto];
    if (clientCertElement !== undefined) fields.push("x-forwarded-client-cert", clientCertElement);
    const remove = noted.forged === undefined ? CLAIMED : CLAIMED.union(noted.forged);
    return { remove, add: fieldLines(...fields) ?? NO_FIELD_LINES };
  }
}
