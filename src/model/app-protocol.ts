import type { AppProtocol } from "./mesh.ts";

const BY_NAME: Readonly<Record<string, AppProtocol>> = Object.assign(Object.create(null), {
  http: "http",
  http2: "http2",
  "http-proxy": "http",
  grpc: "grpc",
  "grpc-web": "grpc",
  https: "https",
  tls: "tls",
  tcp: "tcp",
  mongo: "mongo",
  mysql: "mysql",
  redis: "redis",
  udp: "udp",
  "kubernetes.io/h2c": "http2",
  "kubernetes.io/ws": "http",
  "kubernetes.io/wss": "https",
});

/** Ports of server-first protocols: detection would wait for a client that never speaks first. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/**
 * Which protocol a declared port speaks: `appProtocol`, else the port's name or its part before the first dash, else
 * TCP on ports of server-first protocols, else to be detected.
 * @see https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/
 */
export function selectProtocol(port: {
  name?: string;
  appProtocol?: string;
  protocol?: string;
  number: number;
}): AppProtocol {
  if (port.protocol === "UDP") return "udp";
  if (port.appProtocol !== undefined) return BY_NAME[port.appProtocol.toLowerCase()] ?? "auto";
  const name = (port.name ?? "").toLowerCase();
  if (name.startsWith("grpc-web")) return "grpc";
  const byName = BY_NAME[name.split("-", 1)[0] ?? ""];
  if (byName !== undefined) return byName;
  return SERVER_FIRST_PORTS.has(port.number) ? "tcp" : "auto";
}
