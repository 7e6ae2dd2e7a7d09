import { checkDuration, parseDurationNs } from "./duration.ts";
import { type Field, quoted } from "./field.ts";
import { checkPort, isIpAddress, nameProblem } from "./host-names.ts";
import { checkLoadBalancer } from "./load-balancer.ts";

const PORT_FIELDS: readonly string[] = ["outlierDetection", "connectionPool", "loadBalancer", "tls"];
const FIELDS: readonly string[] = [
  ...PORT_FIELDS,
  "portLevelSettings",
  "tunnel",
  "proxyProtocol",
  "retryBudget",
];

/** How clients of a host connect, balance, give up and encrypt; of a whole rule or of a subset. */
export function checkTrafficPolicy(policy: Field): void {
  if (!policy.present) return;
  const isSet = (key: string): boolean =>
    policy.at(key).present && (key !== "portLevelSettings" || policy.at(key).size > 0);
  if (!FIELDS.some(isSet)) {
    policy.error(
      "BW1236_TRAFFIC_POLICY",
      `\`${policy.name}\` sets nothing`,
      `set one of ${FIELDS.join(", ")}`,
    );
    return;
  }
  if (policy.at("tunnel").present && policy.at("proxyProtocol").present) {
    policy
      .at("tunnel")
      .errorAtKey("BW1236_TRAFFIC_POLICY", "only one of `tunnel` and `proxyProtocol` may be set");
    return;
  }
  checkConnection(policy);
  for (const port of policy.at("portLevelSettings").items()) {
    if (!port.at("port").present) port.error("BW1236_TRAFFIC_POLICY", `\`${port.name}\` needs a \`port\``);
    if (PORT_FIELDS.some((key) => port.at(key).present)) checkConnection(port);
    else
      port.error(
        "BW1236_TRAFFIC_POLICY",
        `\`${port.name}\` sets nothing`,
        `set one of ${PORT_FIELDS.join(", ")}`,
      );
  }
  checkTunnel(policy.at("tunnel"));
}

function checkConnection(policy: Field): void {
  checkOutlierDetection(policy.at("outlierDetection"));
  checkConnectionPool(policy.at("connectionPool"));
  checkLoadBalancer(policy.at("loadBalancer"), policy.at("outlierDetection").present);
  checkClientTls(policy.at("tls"));
}

function checkOutlierDetection(outlier: Field): void {
  if (!outlier.present) return;
  checkDuration(outlier.at("baseEjectionTime"));
  checkDuration(outlier.at("interval"));
  if (outlier.at("consecutiveErrors").number !== 0) {
    outlier
      .at("consecutiveErrors")
      .warning(
        "BW1307_DEPRECATED",
        "`consecutiveErrors` is deprecated",
        "use `consecutiveGatewayErrors` or `consecutive5xxErrors`",
      );
  }
  const local = outlier.at("consecutiveLocalOriginFailures");
  if (local.number > 0 && !outlier.at("splitExternalLocalOriginErrors").isTrue) {
    local.errorAtKey(
      "BW1236_TRAFFIC_POLICY",
      "`consecutiveLocalOriginFailures` needs `splitExternalLocalOriginErrors: true`",
    );
  }
  for (const key of ["maxEjectionPercent", "minHealthPercent"]) {
    const percent = outlier.at(key);
    if (percent.number < 0 || percent.number > 100)
      percent.error(
        "BW1236_TRAFFIC_POLICY",
        `\`${percent.name}\` is ${quoted(percent.value)}; it must be 0 to 100`,
      );
  }
}

export function checkConnectionPool(pool: Field): void {
  if (!pool.present) return;
  const http = pool.at("http");
  const tcp = pool.at("tcp");
  if (!http.present && !tcp.present)
    pool.error("BW1236_TRAFFIC_POLICY", `\`${pool.name}\` needs \`http\` or \`tcp\``);
  for (const key of [
    "http1MaxPendingRequests",
    "http2MaxRequests",
    "maxRequestsPerConnection",
    "maxRetries",
    "maxConcurrentStreams",
  ]) {
    checkNotNegative(http.at(key));
  }
  checkDuration(http.at("idleTimeout"));
  if (http.at("h2UpgradePolicy").text === "UPGRADE" && http.at("useClientProtocol").isTrue) {
    http
      .at("useClientProtocol")
      .errorAtKey(
        "BW1236_TRAFFIC_POLICY",
        "`useClientProtocol` cannot stand beside `h2UpgradePolicy: UPGRADE`",
        "keep one",
      );
  }
  checkKeepAlive(http.at("http2KeepAlive"));
  checkNotNegative(tcp.at("maxConnections"));
  checkDuration(tcp.at("connectTimeout"));
  checkDuration(tcp.at("maxConnectionDuration"));
  // 0 switches the time-out off; the schema's own rule for TCP leaves it alone.
  if (parseDurationNs(tcp.at("idleTimeout").text) !== 0) checkDuration(tcp.at("idleTimeout"));
  checkDuration(tcp.at("tcpKeepalive", "time"));
  checkDuration(tcp.at("tcpKeepalive", "interval"));
}

function checkKeepAlive(keepAlive: Field): void {
  if (!keepAlive.present) return;
  for (const key of ["interval", "timeout"]) {
    if (!keepAlive.at(key).present)
      keepAlive.error("BW1236_TRAFFIC_POLICY", `\`${keepAlive.name}\` needs \`${key}\``);
    checkDuration(keepAlive.at(key));
  }
}

function checkNotNegative(field: Field): void {
  if (field.number < 0) field.error("BW1236_TRAFFIC_POLICY", `\`${field.name}\` must not be negative`);
}

function checkTunnel(tunnel: Field): void {
  if (!tunnel.present) return;
  const protocol = tunnel.at("protocol");
  if (!["", "CONNECT", "POST"].includes(protocol.text))
    protocol.error("BW1236_TRAFFIC_POLICY", `\`${protocol.name}\` must be CONNECT or POST`);
  const host = tunnel.at("targetHost");
  if (nameProblem(host.text) !== undefined && !isIpAddress(host.text)) {
    host.error(
      "BW1219_BAD_HOST",
      `\`${host.name}\` is ${quoted(host.text)}, which is neither a name nor an IP address`,
    );
  }
  checkPort(tunnel.at("targetPort"));
}

/** TLS that a client starts. */
export function checkClientTls(tls: Field): void {
  if (!tls.present) return;
  const mode = tls.at("mode").text || "DISABLE";
  const isSet = (key: string): boolean => tls.at(key).text !== "";
  const fail = (field: Field, message: string, help?: string): void =>
    field.errorAtKey("BW1237_CLIENT_TLS", message, help);
  const credential = tls.at("credentialName");
  if (tls.at("insecureSkipVerify").isTrue) {
    const checks = ["caCertificates", ...(mode === "SIMPLE" ? ["credentialName"] : [])].filter(isSet);
    if (tls.at("subjectAltNames").size > 0) checks.push("subjectAltNames");
    const contradicts = (mode === "SIMPLE" || mode === "MUTUAL") && checks.length > 0;
    if (contradicts)
      fail(
        tls.at("insecureSkipVerify"),
        `\`insecureSkipVerify\` cannot stand beside \`${checks.join("`, `")}\`, which is there to verify`,
        "remove `insecureSkipVerify`: the server is not verified with it",
      );
  }
  if ((mode === "SIMPLE" || mode === "MUTUAL") && credential.text !== "") {
    const files = ["clientCertificate", "caCertificates", "privateKey", "caCrl"].filter(isSet);
    if (files.length > 0)
      fail(
        credential,
        `\`credentialName\` cannot stand beside \`${files.join("`, `")}\``,
        "keep the Secret or the files",
      );
    return;
  }
  if (mode !== "MUTUAL") return;
  for (const key of ["clientCertificate", "privateKey"]) {
    if (!isSet(key))
      fail(
        tls,
        `TLS mode MUTUAL needs \`${key}\``,
        "or use `credentialName`; for the mesh's own certificates use ISTIO_MUTUAL",
      );
  }
}
