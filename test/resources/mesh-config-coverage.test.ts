/** Every setting of MeshConfig is acted on, harmless, or listed by `up` at its start. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { unsupported } from "../../src/resources/coverage.ts";
import { MESH_CONFIG, PROXY_CONFIG } from "../../src/resources/mesh-config-coverage.ts";
import { loadText } from "./load-fixture.ts";

/** istio.io/api, mesh/v1alpha1/config.proto, message MeshConfig, in its order (July 2026), and one that came and went. */
const MESH_FIELDS =
  "proxyListenPort proxyInboundListenPort proxyHttpPort connectTimeout hboneIdleTimeout protocolDetectionTimeout tcpKeepalive ingressClass ingressService ingressControllerMode ingressSelector enableTracing accessLogFile accessLogFormat accessLogEncoding enableEnvoyAccessLogService disableEnvoyListenerLog defaultConfig outboundTrafficPolicy inboundTrafficPolicy configSources enableAutoMtls trustDomain trustDomainAliases caCertificates defaultServiceExportTo defaultVirtualServiceExportTo defaultDestinationRuleExportTo rootNamespace localityLbSetting zoneAwareLbSetting dnsRefreshRate h2UpgradePolicy inboundClusterStatName outboundClusterStatName certificates serviceSettings serviceScopeConfigs enablePrometheusMerge verifyCertificateAtClient ca extensionProviders defaultProviders discoverySelectors pathNormalization defaultHttpRetryPolicy meshMTLS tlsDefaults defaultTrafficPolicy serviceEntryVisibility defaultInboundHttpRetryPolicy";
/** proxy.proto, message ProxyConfig. */
const PROXY_FIELDS =
  "configPath binaryPath serviceCluster tracingServiceName drainDuration discoveryAddress discoveryRefreshDelay zipkinAddress statsdUdpAddress envoyMetricsServiceAddress proxyAdminPort availabilityZone controlPlaneAuthPolicy customConfigFile statNameLength concurrency proxyBootstrapTemplatePath interceptionMode tracing sds envoyAccessLogService envoyMetricsService proxyMetadata runtimeValues statusPort extraStatTags gatewayTopology terminationDrainDuration meshId readinessProbe proxyStatsMatcher holdApplicationUntilProxyStarts caCertificatesPem image privateKeyProvider proxyHeaders fileFlushInterval fileFlushMinSizeKb statsCompression connectionSettings";

test("the tables name every field of MeshConfig and ProxyConfig, and no other", () => {
  assert.deepEqual(Object.keys(MESH_CONFIG).sort(), MESH_FIELDS.split(" ").sort());
  assert.deepEqual(Object.keys(PROXY_CONFIG).sort(), PROXY_FIELDS.split(" ").sort());
});

const listed = async (text: string): Promise<readonly string[]> =>
  unsupported((await loadText(text)).resources).map(({ message }) => /`([^`]*)`/.exec(message)?.[1] ?? "");
const meshConfig = (mesh: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    ${mesh}\n`;

test("settings that have no effect are listed, in either spelling and at any depth; others are not", async () => {
  assert.deepEqual(await listed(meshConfig("tlsDefaults: {minProtocolVersion: TLSV1_3}")), ["tlsDefaults"]);
  assert.deepEqual(await listed(meshConfig("inbound_traffic_policy: {mode: LOCALHOST}")), [
    "inboundTrafficPolicy",
  ]);
  assert.deepEqual(
    await listed(meshConfig("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {}}")),
    ["outboundTrafficPolicy.mode", "outboundTrafficPolicy.tls"],
  );
  assert.deepEqual(await listed(meshConfig("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")), []);
  const topology =
    "defaultConfig: {concurrency: 2, gatewayTopology: {numTrustedProxies: 1, proxyProtocol: {}, forwardClientCertDetails: FORWARD_ONLY}}";
  assert.deepEqual(await listed(meshConfig(topology)), [
    "defaultConfig.gatewayTopology.proxyProtocol",
    "defaultConfig.gatewayTopology.forwardClientCertDetails",
  ]);
  assert.deepEqual(await listed(meshConfig("meshMTLS: {minProtocolVersion: TLSV1_3, cipherSuites: [X]}")), [
    "meshMTLS.cipherSuites",
  ]);
  assert.deepEqual(
    await listed(meshConfig("{trustDomain: example.com, accessLogFile: /dev/stdout, enableTracing: true}")),
    [],
  );
});

test("a pod's own settings and the annotations that keep traffic from a sidecar are listed as well", async () => {
  const deployment = (annotation: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}, annotations: {${annotation}}}
    spec: {containers: [{name: app, image: app}]}
`;
  const proxy = "proxy.istio.io/config: '{gatewayTopology: {numTrustedProxies: 1, proxyProtocol: {}}}'";
  assert.deepEqual(await listed(deployment(proxy)), ["gatewayTopology.proxyProtocol"]);
  const capture = 'traffic.sidecar.istio.io/excludeInboundPorts: "9090"';
  assert.match((await listed(deployment(capture)))[0] ?? "", /excludeInboundPorts$/);
  assert.deepEqual(await listed(deployment("example.com/a: b")), []);
});
