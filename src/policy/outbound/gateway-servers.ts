/** The servers of all Gateway resources that select one workload, merged by the port that its pod listens on. */
import { parsePortProtocol } from "../../model/app-protocol.ts";
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import type { Span } from "../../resources/diagnostic.ts";
import { byAge, resourceName } from "../../resources/resource.ts";
import { gatewayApiOf } from "../gateway-api/convert.ts";
import { parseReference, resolveCredential } from "./credential.ts";
import { isHostSubset } from "./host-name.ts";
import { type GatewayShape, type ServerShape, type ServerTlsSettings, shapeOf } from "./resource-shapes.ts";
import type { GatewayServer, GatewayTls, GatewayTlsMode } from "./types.ts";

export interface MergedServer {
  readonly server: GatewayServer;
  /** `namespace/name`, as VirtualServices bind to it. */
  readonly gatewayName: string;
  /** `host`, or `namespace/host` where only VirtualServices of that namespace may use it. In lower case. */
  readonly scopedHosts: readonly string[];
  /** How the bytes are treated once the server has taken them. */
  readonly kind: "http" | "https" | "tcp" | "terminated" | "passthrough" | "auto-passthrough";
  /** Where it is written. */
  readonly locate: () => Span;
}

/** By the pod's port; servers in the order in which they were taken. */
export type ServersByPort = ReadonlyMap<number, readonly MergedServer[]>;

export function mergeServers(mesh: Mesh, workload: Workload): ServersByPort {
  const merger = new ServerMerger();
  for (const gateway of [...mesh.gateways, ...gatewayApiOf(mesh).gateways].sort(byAge)) {
    const shape = shapeOf<GatewayShape>(gateway);
    const { origin } = shape;
    if (!isServedBy(shape, workload)) continue;
    for (const [index, server] of (shape.servers ?? []).entries()) {
      const number = server.port?.number;
      if (number === undefined) continue;
      merger.add(
        podPort(mesh, workload, number),
        {
          server: toServer(
            origin?.ref ?? resourceName(gateway),
            origin?.index ?? index,
            number,
            server,
            workload.namespace,
          ),
          gatewayName: `${gateway.namespace}/${gateway.name}`,
          scopedHosts: (server.hosts ?? []).map((host) => scopeHost(host.toLowerCase(), gateway.namespace)),
          kind: kindOf(server),
          locate: () => gateway.locate(["spec", "servers", index, "tls"]),
        },
        server.port?.name ?? "",
      );
    }
  }
  return merger.ports;
}

function isServedBy({ origin, selector = {} }: GatewayShape, workload: Workload): boolean {
  return origin?.serves(workload) ?? matchesLabels(selector, workload.labels);
}

/** `Kind namespace/name` of the Gateways that select the workload, whether or not another has taken their ports and names. */
export function gatewaysAt(mesh: Mesh, workload: Workload): readonly string[] {
  const serving = [...mesh.gateways, ...gatewayApiOf(mesh).gateways].flatMap((gateway) => {
    const shape = shapeOf<GatewayShape>(gateway);
    return isServedBy(shape, workload) ? [shape.origin?.ref ?? resourceName(gateway)] : [];
  });
  return [...new Set(serving)];
}

/** A port of a Service that selects the gateway stands for its target port; any other for itself. */
function podPort(mesh: Mesh, workload: Workload, number: number): number {
  for (const service of mesh.services) {
    if (!service.endpoints.some((endpoint) => endpoint.workload?.key === workload.key)) continue;
    const port = service.ports.find((candidate) => candidate.port === number);
    const target = port === undefined ? undefined : resolveTargetPort(port, workload);
    if (target !== undefined) return target;
  }
  return number;
}

/** Istio's rules for what may share a port: clear HTTP with clear HTTP, and TLS with TLS for other names. */
class ServerMerger {
  readonly ports = new Map<number, MergedServer[]>();
  readonly #clear = new Map<number, MergedServer["kind"]>();
  readonly #tlsHosts = new Map<number, Set<string>>();
  readonly #httpsNames = new Set<string>();

  add(port: number, merged: MergedServer, portName: string): void {
    if (merged.server.tls !== undefined && !this.#claimHosts(port, merged.scopedHosts)) return;
    const clear = this.#clear.get(port);
    if (clear !== undefined && (clear !== "http" || merged.kind !== "http")) return;
    if (!this.#claimName(port, merged, portName)) return;
    if (merged.kind === "http" || merged.kind === "tcp") this.#clear.set(port, merged.kind);
    const known = this.ports.get(port);
    if (known === undefined) this.ports.set(port, [merged]);
    else known.push(merged);
  }

  #claimHosts(port: number, hosts: readonly string[]): boolean {
    const taken = this.#tlsHosts.get(port) ?? new Set();
    if (hosts.some((host) => taken.has(host))) return false;
    for (const host of hosts) taken.add(host);
    this.#tlsHosts.set(port, taken);
    return true;
  }

  #claimName(port: number, merged: MergedServer, portName: string): boolean {
    if (merged.kind !== "https") return true;
    const name = `${merged.server.port}.${portName}.${merged.gatewayName}.${port}`;
    if (this.#httpsNames.has(name)) return false;
    this.#httpsNames.add(name);
    return true;
  }
}

function kindOf({ port, tls }: ServerShape): MergedServer["kind"] {
  const protocol = parsePortProtocol(port?.protocol);
  if (protocol === "http" || protocol === "http2" || protocol === "grpc") return "http";
  if (tls === undefined) return "tcp";
  if (tls.mode === "PASSTHROUGH" || tls.mode === undefined) return "passthrough";
  if (tls.mode === "AUTO_PASSTHROUGH") return "auto-passthrough";
  return protocol === "https" ? "https" : "terminated";
}

/** `./host` means the Gateway's own namespace, `*\/host` any. */
function scopeHost(host: string, namespace: string): string {
  const slash = host.indexOf("/");
  if (slash < 0) return host;
  const scope = host.slice(0, slash);
  const name = host.slice(slash + 1);
  if (scope === "*") return name;
  return scope === "." ? `${namespace}/${name}` : host;
}

/** The hosts that VirtualServices of a namespace may use at a server. */
export function hostsFor(server: MergedServer, namespace: string): readonly string[] {
  return server.scopedHosts.flatMap((host) => {
    const slash = host.indexOf("/");
    if (slash < 0) return [host];
    return host.slice(0, slash) === namespace ? [host.slice(slash + 1)] : [];
  });
}

/** Whether a name is within one of the hosts. */
export function covers(hosts: readonly string[], name: string): boolean {
  return hosts.some((host) => isHostSubset(name, host));
}

function toServer(
  gateway: string,
  index: number,
  port: number,
  shape: ServerShape,
  namespace: string,
): GatewayServer {
  const protocol = parsePortProtocol(shape.port?.protocol);
  const isHttp = protocol === "http" || protocol === "http2" || protocol === "grpc";
  const hosts = (shape.hosts ?? []).map((host) => host.slice(host.indexOf("/") + 1).toLowerCase());
  return {
    gateway,
    index,
    ...(shape.name === undefined ? {} : { name: shape.name }),
    port,
    protocol: isHttp ? "http" : protocol === "https" || protocol === "tls" ? protocol : "tcp",
    hosts: [...new Set(hosts)],
    ...(shape.tls === undefined ? {} : { tls: toTls(shape.tls, namespace) }),
  };
}

const MODES: readonly GatewayTlsMode[] = [
  "PASSTHROUGH",
  "SIMPLE",
  "MUTUAL",
  "OPTIONAL_MUTUAL",
  "AUTO_PASSTHROUGH",
  "ISTIO_MUTUAL",
];

/** @param namespace of the proxy: where its Secrets are. */
function toTls(settings: ServerTlsSettings, namespace: string): GatewayTls {
  const { credentialName = "", caCertCredentialName = "" } = settings;
  const several = settings.credentialNames ?? [];
  const credentials = several.length > 0 || credentialName === "" ? several : [credentialName];
  const { serverCertificate, privateKey, caCertificates, caCrl, minProtocolVersion, maxProtocolVersion } =
    settings;
  return {
    mode: MODES.find((mode) => mode === settings.mode) ?? "PASSTHROUGH",
    httpsRedirect: settings.httpsRedirect === true,
    credentials: [
      ...credentials.map((name) => resolveCredential(name, namespace)),
      ...(settings.grantedCredentials ?? []).map(parseReference),
    ],
    ...(caCertCredentialName === ""
      ? {}
      : { clientRoots: resolveCredential(caCertCredentialName, namespace) }),
    ...(serverCertificate === undefined ? {} : { serverCertificate }),
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(caCertificates === undefined ? {} : { caCertificates }),
    ...(caCrl === undefined ? {} : { caCrl }),
    subjectAltNames: settings.subjectAltNames ?? [],
    verifyCertificateSpki: settings.verifyCertificateSpki ?? [],
    verifyCertificateHash: settings.verifyCertificateHash ?? [],
    ...(minProtocolVersion === undefined ? {} : { minProtocolVersion }),
    ...(maxProtocolVersion === undefined ? {} : { maxProtocolVersion }),
    cipherSuites: settings.cipherSuites ?? [],
  };
}
