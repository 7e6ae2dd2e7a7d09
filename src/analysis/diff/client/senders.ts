/** What stands between a client and what it dials: its sidecar, its node's ztunnel, or nothing. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import type { Semantics } from "../../../policy/inbound.ts";
import { compileOutbound, sidecarOf } from "../../../policy/outbound/compile-outbound.ts";
import type { OutboundPolicy } from "../../../policy/outbound/types.ts";
import { outboundBypass } from "../../../policy/path/capture.ts";
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
  /** What tells its workloads from others of the namespace: the same text, the same way. */
  readonly text: string;
  http(dialled: Dialled, request: RouteRequest & { readonly authority: string }): readonly Way[];
  /** Bytes that are TLS of the client's own, and others. */
  bytes(dialled: Dialled, protocol: "tls" | "tcp"): readonly Way[];
  /** Whether annotations lead the connection past the proxy; `unknown` where that hangs on an address which is not known. */
  passesBy(dialled: Dialled): boolean | "unknown";
}

/** Where it sends is not known. */
export class UnclearWay extends AnalysisLimit {}

/** Senders of one mesh: the same for workloads for which the same is decided, however many ask. */
export class Senders {
  readonly #mesh: Mesh;
  readonly #semantics: Semantics;
  readonly #ofPolicy = new Map<OutboundPolicy, Map<string, Sender>>();
  readonly #plain: Sender;
  #ztunnel: Sender | undefined;

  constructor(mesh: Mesh, semantics: Semantics) {
    this.#mesh = mesh;
    this.#semantics = semantics;
    const ways = (dialled: Dialled): readonly Way[] => [plainWay(mesh, dialled)];
    this.#plain = { sidecar: null, text: "none", http: ways, bytes: ways, passesBy: () => false };
  }

  of(workload: Workload): Sender {
    if (workload.dataplane === "none") return this.#plain;
    if (workload.dataplane === "ambient") {
      this.#ztunnel ??= ztunnelSender(this.#mesh, workload);
      return this.#ztunnel;
    }
    const policy = compileOutbound(this.#mesh, workload);
    const known = this.#ofPolicy.get(policy) ?? new Map<string, Sender>();
    this.#ofPolicy.set(policy, known);
    const capture = this.#semantics === "istio" ? JSON.stringify(outwards(workload)) : "";
    const sender = known.get(capture) ?? this.#sidecar(policy, workload, capture);
    known.set(capture, sender);
    return sender;
  }

  #sidecar(policy: OutboundPolicy, workload: Workload, capture: string): Sender {
    const mesh = this.#mesh;
    const { scope, labels } = sidecarOf(mesh, workload).view;
    return {
      sidecar: scope.sidecar,
      text: JSON.stringify(["sidecar", scope.sidecar, labels, capture]),
      http: (dialled, request) =>
        waysOf(policy.routeHttp({ ...dialled, ...request }), dialled.host, dialled.port),
      bytes: (dialled, protocol) =>
        waysOf(
          protocol === "tls" ? policy.routeTls({ ...dialled, sni: dialled.host }) : policy.routeTcp(dialled),
          dialled.host,
          dialled.port,
        ),
      passesBy: ({ host, port }) => {
        const service = findService(meshDirectory(mesh), host, workload.namespace);
        const bypass = outboundBypass(workload, { host, port }, service, this.#semantics);
        return bypass === "unknown" ? bypass : bypass !== undefined;
      },
    };
  }
}

/** What its annotations say of traffic on its way out. */
function outwards({ capture }: Workload): unknown {
  if (capture === undefined) return null;
  const { includeInboundPorts: _, excludeInboundPorts: __, ...outbound } = capture;
  return outbound;
}

/** Of a name and a port all ztunnels make the same, whatever is said on the connection. */
function ztunnelSender(mesh: Mesh, workload: Workload): Sender {
  const ways = ({ host, port }: Dialled): readonly Way[] => {
    const sent = waysByZtunnel(mesh, workload, host, port);
    if (typeof sent === "string") throw new UnclearWay(`where ztunnels send ${host}: ${sent}`);
    return sent;
  };
  return { sidecar: null, text: "ambient", http: ways, bytes: ways, passesBy: () => false };
}

/** Without a proxy all goes where it is dialled, and as it is said. */
export function plainWay(mesh: Mesh, { host }: Dialled): Way {
  const service = findService(meshDirectory(mesh), host, "");
  const pods = service?.endpoints.flatMap(({ workload }) => workload ?? []) ?? [];
  return {
    to: ITSELF,
    tls: "plaintext",
    leaves: service === undefined || (service.origin === "service-entry" && pods.length === 0),
    byGateway: pods.length > 0 && pods.every(({ role }) => role === "gateway"),
  };
}
