/**
 * What Bulwark's own proxies make of each setting of MeshConfig and ProxyConfig: acted on; harmless, as neither a decision nor the protection of
 * traffic hangs on it; or neither. Source: istio.io/api, mesh/v1alpha1/config.proto and proxy.proto (July 2026). Whoever makes the proxies act
 * on a setting changes its line here.
 */
export type SettingCoverage =
  | "acted-on"
  | "harmless"
  /** With `values`: for these alone. */
  | { readonly why: string; readonly values?: readonly string[] }
  | { readonly fields: SettingTable };
export type SettingTable = Readonly<Record<string, SettingCoverage>>;

const not = (why: string): SettingCoverage => ({ why });

const OWN_LIMITS = not("the proxies' own limits and time-outs hold");
const OWN_PORTS = not("the proxies' own ports hold");
const NO_INGRESS = not("traffic from outside comes in through Gateways only");
const IN_TURN = not("requests go to the endpoints in turn");

/** `defaultConfig`, and the annotation `proxy.istio.io/config` of a pod. */
export const PROXY_CONFIG: SettingTable = {
  configPath: "harmless",
  binaryPath: "harmless",
  serviceCluster: "harmless",
  tracingServiceName: "harmless",
  drainDuration: not("a change holds for open connections within a second: nothing is drained"),
  discoveryAddress: not("the proxies have the one control plane that started them"),
  discoveryRefreshDelay: "harmless",
  zipkinAddress: "harmless",
  statsdUdpAddress: "harmless",
  envoyMetricsServiceAddress: "harmless",
  proxyAdminPort: "harmless",
  availabilityZone: "harmless",
  controlPlaneAuthPolicy: not("proxies prove themselves to the control plane by their tokens"),
  customConfigFile: not("there is no Envoy to bootstrap"),
  statNameLength: "harmless",
  concurrency: "harmless",
  proxyBootstrapTemplatePath: not("there is no Envoy to bootstrap"),
  interceptionMode: not("applications reach out through the explicit proxy, and every port is served"),
  tracing: "harmless",
  sds: "harmless",
  envoyAccessLogService: "harmless",
  envoyMetricsService: "harmless",
  proxyMetadata: not("of what it switches on in Envoy and its agent nothing takes effect"),
  runtimeValues: not("there is no Envoy to set at run time"),
  statusPort: "harmless",
  extraStatTags: "harmless",
  gatewayTopology: {
    fields: {
      numTrustedProxies: "acted-on",
      forwardClientCertDetails: not(
        "gateways take away X-Forwarded-Client-Cert from outside and write their own (SANITIZE_SET)",
      ),
      proxyProtocol: not("no PROXY header is read: the peer's address is the connection's"),
    },
  },
  terminationDrainDuration: "harmless",
  meshId: "harmless",
  readinessProbe: "harmless",
  proxyStatsMatcher: "harmless",
  holdApplicationUntilProxyStarts: "harmless",
  caCertificatesPem: not("the mesh's own roots, and those of federated trust domains, are trusted"),
  image: "harmless",
  privateKeyProvider: not("workloads' keys are in their proxies' memory"),
  proxyHeaders: not(
    "headers that proxies add and take away are those of Istio's default, X-Forwarded-Client-Cert too",
  ),
  fileFlushInterval: "harmless",
  fileFlushMinSizeKb: "harmless",
  statsCompression: "harmless",
  connectionSettings: OWN_LIMITS,
};

export const MESH_CONFIG: SettingTable = {
  proxyListenPort: OWN_PORTS,
  proxyInboundListenPort: OWN_PORTS,
  proxyHttpPort: OWN_PORTS,
  connectTimeout: OWN_LIMITS,
  hboneIdleTimeout: OWN_LIMITS,
  protocolDetectionTimeout: "acted-on",
  tcpKeepalive: "harmless",
  ingressClass: NO_INGRESS,
  ingressService: NO_INGRESS,
  ingressControllerMode: NO_INGRESS,
  ingressSelector: NO_INGRESS,
  enableTracing: "harmless",
  accessLogFile: "harmless",
  accessLogFormat: "harmless",
  accessLogEncoding: "harmless",
  enableEnvoyAccessLogService: "harmless",
  disableEnvoyListenerLog: "harmless",
  defaultConfig: { fields: PROXY_CONFIG },
  outboundTrafficPolicy: {
    fields: {
      mode: {
        values: ["ALLOW_ANY_DYNAMIC_DNS"],
        why: "HTTP to unknown hosts is refused under it: no Host is looked up; the rest is let out as under ALLOW_ANY",
      },
      tls: not("no TLS is added for unknown hosts: HTTP to them is refused under ALLOW_ANY_DYNAMIC_DNS"),
    },
  },
  inboundTrafficPolicy: not("applications are reached on 127.0.0.1 alone, at the ports that they declare"),
  configSources: not("configuration comes from the files that `up` was given"),
  enableAutoMtls: "acted-on",
  trustDomain: "acted-on",
  trustDomainAliases: "acted-on",
  caCertificates: not("other roots than the mesh's own count by `up --federate` alone"),
  defaultServiceExportTo: "acted-on",
  defaultVirtualServiceExportTo: "acted-on",
  defaultDestinationRuleExportTo: "acted-on",
  rootNamespace: "acted-on",
  localityLbSetting: IN_TURN,
  zoneAwareLbSetting: IN_TURN,
  dnsRefreshRate: "harmless",
  h2UpgradePolicy: "acted-on",
  inboundClusterStatName: "harmless",
  outboundClusterStatName: "harmless",
  certificates: not("no certificates for DNS names are made"),
  serviceSettings: not("there is one cluster"),
  serviceScopeConfigs: not("there is one cluster"),
  enablePrometheusMerge: "harmless",
  verifyCertificateAtClient: not("servers' certificates are verified whatever it says"),
  ca: not("certificates are the CA's of `up`"),
  extensionProviders: "acted-on",
  defaultProviders: "harmless",
  discoverySelectors: "acted-on",
  pathNormalization: "acted-on",
  defaultHttpRetryPolicy: "acted-on",
  defaultInboundHttpRetryPolicy: not("a server's proxy tries no request again"),
  meshMTLS: {
    fields: {
      minProtocolVersion: "acted-on",
      cipherSuites: not("TLS in the mesh is 1.3, whose suites are all authenticated and forward-secret"),
      ecdhCurves: not("the proxies' own groups hold, post-quantum first"),
    },
  },
  tlsDefaults: not(
    "outside of the mesh TLS 1.2 is the least, with the suites and groups of docs/identity.md",
  ),
  defaultTrafficPolicy: OWN_LIMITS,
  serviceEntryVisibility: not("a ServiceEntry is visible as its own `exportTo` says"),
};

export interface SettingWithoutEffect {
  /** `defaultConfig.gatewayTopology.proxyProtocol` */
  readonly setting: string;
  readonly why: string;
}

/** @param settings as parsed; names in either of protobuf's spellings. Unknown ones are the validator's business. */
export function settingsWithoutEffect(
  settings: unknown,
  table: SettingTable,
): readonly SettingWithoutEffect[] {
  if (typeof settings !== "object" || settings === null || Array.isArray(settings)) return [];
  return Object.entries(settings).flatMap(([name, value]): readonly SettingWithoutEffect[] => {
    const field = name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    const coverage = Object.hasOwn(table, field) ? table[field] : undefined;
    if (coverage === undefined || value === null || typeof coverage === "string") return [];
    if ("why" in coverage) {
      const { values, why } = coverage;
      return values === undefined || values.includes(String(value)) ? [{ setting: field, why }] : [];
    }
    return settingsWithoutEffect(value, coverage.fields).map(({ setting, why }) => ({
      setting: `${field}.${setting}`,
      why,
    }));
  });
}
