/** What stands between a client and what it dials: its sidecar, its node's ztunnel, or nothing. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import { compileOutbound, sidecarOf } from "../../../policy/outbound/compile-outbound.ts";
import type { OutboundPolicy } from "../../../policy/outbound/types.ts";
import { findService, meshDirectory } from "../../../policy/path/compiled-policies.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import type { RouteRequest } from "./route-cells.ts";
import { ITSELF, type Way, waysOf } from "./ways.ts";
import { waysByZtunnel } from "./ztunnel-ways.ts";

export interface Dialled {
  readonly host: string;
  readonly port: number;
}

export interface Sender {
  /** The Sidecar resource that holds for it, `Sidecar ns/name`. */
  readonly sidecar: string | null;
  http(dialled: Dialled, request: RouteRequest & { readonly authority: string }): readonly Way[];
  /** Bytes that are TLS of the client's own, and others. */
  bytes(dialled: Dialled, protocol: "tls" | "tcp"): readonly Way[];
}

/** Where it sends is not known. */
export class UnclearWay extends AnalysisLimit {}

/** Senders of one mesh: the same for workloads for which the same is decided, however many ask. */
export class Senders {
  readonly #mesh: Mesh;
  readonly #ofPolicy = new Map<OutboundPolicy, Sender>();
  readonly #plain: Sender;
  #ztunnel: Sender | undefined;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
    const ways = (dialled: Dialled): readonly Way[] => [plainWay(mesh, dialled)];
    this.#plain = { sidecar: null, http: ways, bytes: ways };
  }

  of(workload: Workload): Sender {
    if (workload.dataplane === "none") return this.#plain;
    if (workload.dataplane === "ambient") {
      this.#ztunnel ??= ztunnelSender(this.#mesh, workload);
      return this.#ztunnel;
    }
    const policy = compileOutbound(this.#mesh, workload);
    const known = this.#ofPolicy.get(policy);
    if (known !== undefined) return known;
    const sender = sidecarSender(policy, sidecarOf(this.#mesh, workload).view.scope.sidecar);
    this.#ofPolicy.set(policy, sender);
    return sender;
  }
}

function sidecarSender(policy: OutboundPolicy, sidecar: string | null): Sender {
  return {
    sidecar,
    http: (dialled, request) =>
      waysOf(policy.routeHttp({ ...dialled, ...request }), dialled.host, dialled.port),
    bytes: (dialled, protocol) =>
      waysOf(
        protocol === "tls" ? policy.routeTls({ ...dialled, sni: dialled.host }) : policy.routeTcp(dialled),
        dialled.host,
        dialled.port,
      ),
  };
}

/** Of a name and a port all ztunnels make the same, whatever is said on the connection. */
function ztunnelSender(mesh: Mesh, workload: Workload): Sender {
  const ways = ({ host, port }: Dialled): readonly Way[] => {
    const sent = waysByZtunnel(mesh, workload, host, port);
    if (typeof sent === "string") throw new UnclearWay(`where ztunnels send ${host}: ${sent}`);
    return sent;
  };
  return { sidecar: null, http: ways, bytes: ways };
}

/** Without a proxy all goes where it is dialled, and as it is said. */
function plainWay(mesh: Mesh, { host }: Dialled): Way {
  const service = findService(meshDirectory(mesh), host, "");
  const pods = service?.endpoints.flatMap(({ workload }) => workload ?? []) ?? [];
  return {
    to: ITSELF,
    tls: "plaintext",
    leaves: service === undefined || (service.origin === "service-entry" && pods.length === 0),
    byGateway: pods.length > 0 && pods.every(({ role }) => role === "gateway"),
  };
}
