import type { AppProtocol } from "./mesh.ts";

const BY_NAME: Readonly<Record<string, AppProtocol>> = Object.assign(Object.create(null), {
  http: "http",
  http2: "http2",
  http_proxy: "http",
  grpc: "grpc",
  "grpc-web": "grpc",
  https: "https",
  tls: "tls",
  tcp: "tcp",
  mongo: "mongo",
  mysql: "mysql",
  redis: "redis",
  udp: "udp",
});

/** Kubernetes' own values of `appProtocol`. They cannot be port names. */
const BY_APP_PROTOCOL: Readonly<Record<string, AppProtocol>> = Object.assign(Object.create(null), {
  "kubernetes.io/h2c": "http2",
  "kubernetes.io/ws": "http",
  "kubernetes.io/wss": "https",
});

/** Ports of server-first protocols: detection would wait for a client that never speaks first. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/** The protocol that an Istio resource names (`ServiceEntry.ports.protocol`, Sidecar, Gateway); `auto` where it is none. */
export function parsePortProtocol(name: string | undefined): AppProtocol {
  return BY_NAME[(name ?? "").toLowerCase()] ?? "auto";
}

/**
 * Which protocol a declared port of a Kubernetes Service speaks: by `appProtocol`, else by the port's name, either up to
 * its first dash; else TCP on ports of server-first protocols, else to be detected.
 * @see https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/
 */
export function selectProtocol(port: {
  name?: string;
  appProtocol?: string;
  protocol?: string;
  number: number;
}): AppProtocol {
  if (port.protocol === "UDP") return "udp";
  const standard = port.appProtocol === undefined ? undefined : BY_APP_PROTOCOL[port.appProtocol];
  if (standard !== undefined) return standard;
  const name = (port.appProtocol ?? port.name ?? "").toLowerCase();
  if (name.startsWith("grpc-web")) return "grpc";
  const protocol = parsePortProtocol(name.split("-", 1)[0]);
  return protocol === "auto" && SERVER_FIRST_PORTS.has(port.number) ? "tcp" : protocol;
}
