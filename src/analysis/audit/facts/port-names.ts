/** What Istio makes of the names of Services' ports. */
import type { Resource } from "../../../resources/resource.ts";
import { type Fields, fieldsOf, itemsOf, textOf } from "./written.ts";

const PROTOCOLS = new Set([
  "tcp",
  "udp",
  "grpc",
  "grpc-web",
  "http",
  "http_proxy",
  "http2",
  "https",
  "tls",
  "mongo",
  "redis",
  "mysql",
]);
/** As `appProtocol` alone. */
const KUBERNETES = new Set(["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"]);
/** Their servers speak first, so that they are TCP without a name. */
const SERVER_FIRST = new Set<unknown>([25, 53, 3306, 27017]);

/** Ports of which Istio is not told what they speak. */
export function unnamedPorts(service: Resource): readonly (readonly [index: number, port: Fields])[] {
  return [...itemsOf(fieldsOf(service.spec).ports)].filter(([, port]) => !isNamed(port));
}

function isNamed({ name, appProtocol, protocol, port }: Fields): boolean {
  if (protocol === "UDP" || SERVER_FIRST.has(port)) return true;
  if (KUBERNETES.has(textOf(appProtocol))) return true;
  const said = (textOf(appProtocol) || textOf(name)).toLowerCase();
  const [prefix = ""] = said.startsWith("grpc-web") ? ["grpc-web"] : said.split("-");
  return PROTOCOLS.has(prefix);
}
