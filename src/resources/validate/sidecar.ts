import { checkProtocol, isHttp, isTls } from "./app-protocols.ts";
import { checkBindAddress, checkUnixAddress, UNIX_PREFIX } from "./bind.ts";
import type { CheckContext } from "./check-context.ts";
import { checkDestination } from "./destination.ts";
import { type Field, quoted } from "./field.ts";
import { checkHost, checkPort, isDnsLabel } from "./host-names.ts";
import { checkSelector } from "./labels.ts";
import { checkScopedHost } from "./scoped-host.ts";
import { checkServerTls } from "./server-tls.ts";
import { checkConnectionPool } from "./traffic-policy.ts";

/** @see https://istio.io/latest/docs/reference/config/networking/sidecar/ */
export function checkSidecar(spec: Field, { namespace }: CheckContext): void {
  checkSelector(spec.at("workloadSelector"), "labels");
  const ingress = spec.at("ingress");
  const egress = spec.at("egress");
  const others = ["outboundTrafficPolicy", "inboundConnectionPool"];
  if (ingress.size === 0 && egress.size === 0 && others.every((key) => !spec.at(key).present)) {
    spec.error(
      "BW1243_SIDECAR",
      "a Sidecar needs `egress`, `ingress`, `outboundTrafficPolicy` or `inboundConnectionPool`",
    );
    return;
  }
  const ports = new Set<number>();
  for (const listener of ingress.items()) checkIngress(listener, ports);
  checkConnectionPool(spec.at("inboundConnectionPool"));
  checkEgress(egress, namespace);
  checkOutboundPolicy(spec.at("outboundTrafficPolicy"));
}

function checkIngress(listener: Field, ports: Set<number>): void {
  const port = listener.at("port");
  if (!port.present) return;
  checkListenerPort(port);
  checkPort(port.at("number"));
  checkBindAddress(listener.at("bind"));
  const number = port.at("number").number;
  if (ports.has(number))
    port.at("number").error("BW1220_DUPLICATE", `the port ${number} stands twice`, "one listener a port");
  ports.add(number);
  checkDefaultEndpoint(listener.at("defaultEndpoint"));
  checkIngressTls(listener.at("tls"), port.at("protocol").text);
  const pool = listener.at("connectionPool");
  checkConnectionPool(pool);
  if (pool.at("http").present && !isHttp(port.at("protocol").text)) {
    pool
      .at("http")
      .warning(
        "BW1314_HTTP_POOL",
        `HTTP settings do nothing on a port of ${quoted(port.at("protocol").text)}`,
      );
  }
}

function checkListenerPort(port: Field): void {
  const name = port.at("name");
  if (port.at("targetPort").number > 0)
    port.at("targetPort").errorAtKey("BW1243_SIDECAR", "`targetPort` does nothing in a Sidecar", "remove it");
  if (name.text !== "" && !isDnsLabel(name.text))
    name.error("BW1243_SIDECAR", `${quoted(name.text)} is no port name`);
  checkProtocol(port.at("protocol"), { mayBeEmpty: true });
}

const LOCAL_HOSTS: ReadonlySet<string> = new Set(["", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"]);

function checkDefaultEndpoint(endpoint: Field): void {
  if (endpoint.text === "") return;
  if (endpoint.text.startsWith(UNIX_PREFIX)) {
    checkUnixAddress(endpoint, endpoint.text.slice(UNIX_PREFIX.length));
    return;
  }
  const [, host = "-", port = ""] = /^(\[[^\]]*\]|[^:]*):(\d{1,6})$/.exec(endpoint.text) ?? [];
  if (LOCAL_HOSTS.has(host) && Number(port) >= 1 && Number(port) <= 65_535) return;
  endpoint.error(
    "BW1243_SIDECAR",
    `\`${endpoint.name}\` is ${quoted(endpoint.text)}`,
    "write `127.0.0.1:PORT`, `0.0.0.0:PORT`, `[::1]:PORT`, `[::]:PORT` or `unix:///path`",
  );
}

const NOT_IN_SIDECARS: readonly string[] = [
  "subjectAltNames",
  "httpsRedirect",
  "credentialName",
  "credentialNames",
  "tlsCertificates",
];

function checkIngressTls(tls: Field, protocol: string): void {
  if (!tls.present) return;
  for (const key of NOT_IN_SIDECARS) {
    const field = tls.at(key);
    if (field.text !== "" || field.size > 0 || field.isTrue)
      field.errorAtKey("BW1240_SERVER_TLS", `\`${key}\` cannot be set in a Sidecar`);
  }
  const mode = tls.at("mode").text;
  if (mode === "ISTIO_MUTUAL" || mode === "AUTO_PASSTHROUGH")
    tls.at("mode").error("BW1240_SERVER_TLS", `a Sidecar's ingress knows no mode ${mode}`);
  if (!isTls(protocol))
    tls.errorAtKey("BW1240_SERVER_TLS", `${quoted(protocol)} is a plain protocol: it has no \`tls\``);
  checkServerTls(tls);
}

function checkEgress(egress: Field, namespace: string): void {
  const places = new Set<string>();
  const listeners = egress.items();
  for (const [index, listener] of listeners.entries()) {
    const port = listener.at("port");
    if (port.present) checkEgressPort(listener, places);
    else if (index !== listeners.length - 1) {
      listener.error(
        "BW1243_SIDECAR",
        "an egress listener without a port takes everything: it must be the last, and there can be one",
      );
    }
    if (listener.at("hosts").size === 0)
      listener.error(
        "BW1243_SIDECAR",
        `\`${listener.name}\` needs \`hosts\``,
        "`./*` is this namespace, `~/*` is nothing",
      );
    const hosts = listener.at("hosts").items();
    for (const host of hosts) checkScopedHost(host, "sidecar");
    checkRepeatedHosts(hosts, namespace);
  }
}

/** As Istio counts: `./x` is of the own namespace, and `ns/*` has whatever else is said of `ns`. */
function checkRepeatedHosts(hosts: readonly Field[], namespace: string): void {
  const seen = new Map<string, Map<string, string>>();
  for (const host of hosts) {
    const [, scope = "", name = ""] = /^([^/]*)\/(.*)$/s.exec(host.text) ?? [];
    if (scope === "" || scope.startsWith("~")) continue;
    const home = scope === "." ? namespace : scope;
    const names = seen.get(home) ?? new Map<string, string>();
    seen.set(home, names);
    const other = names.get(name) ?? (name === "*" ? [...names.values()][0] : names.get("*"));
    if (other === host.text) host.warning("BW1315_REPEATED_HOST", `${quoted(host.text)} stands twice`);
    else if (other !== undefined)
      host.warning("BW1315_REPEATED_HOST", `${quoted(host.text)} and ${quoted(other)} say the same in part`);
    names.set(name, host.text);
  }
}

function checkEgressPort(listener: Field, places: Set<string>): void {
  const port = listener.at("port");
  const bind = listener.at("bind");
  const number = port.at("number").number;
  checkListenerPort(port);
  if (number === 0) {
    if (bind.text.startsWith(UNIX_PREFIX)) checkUnixAddress(bind, bind.text.slice(UNIX_PREFIX.length));
    else
      port.error(
        "BW1241_BIND",
        "a listener with port 0 must be bound to a Unix socket",
        "`bind: unix:///path/to/socket`",
      );
    const capture = listener.at("captureMode").text;
    if (!["", "DEFAULT", "NONE"].includes(capture))
      listener.at("captureMode").error("BW1243_SIDECAR", "a Unix socket cannot be captured: DEFAULT or NONE");
  } else {
    checkPort(port.at("number"));
    checkBindAddress(bind);
  }
  const place = number === 0 ? bind.text : String(number);
  if (places.has(place))
    port.error("BW1220_DUPLICATE", `two listeners on ${quoted(place)}`, "one listener a port or socket");
  places.add(place);
}

function checkOutboundPolicy(policy: Field): void {
  const mode = policy.at("mode");
  if (mode.text === "ALLOW_ANY_DYNAMIC_DNS") {
    mode.error(
      "BW1243_SIDECAR",
      "ALLOW_ANY_DYNAMIC_DNS can be set for the whole mesh only",
      "set it in MeshConfig's outboundTrafficPolicy",
    );
    return;
  }
  const proxy = policy.at("egressProxy");
  if (!proxy.present) return;
  // The first value of the enumeration is REGISTRY_ONLY.
  if (mode.text !== "ALLOW_ANY") {
    proxy.errorAtKey("BW1243_SIDECAR", "`egressProxy` needs `mode: ALLOW_ANY`");
    return;
  }
  checkHost(proxy.at("host"));
  if (!proxy.at("port").present) proxy.error("BW1243_SIDECAR", "`egressProxy` needs a `port`");
  else checkDestination(proxy);
}
