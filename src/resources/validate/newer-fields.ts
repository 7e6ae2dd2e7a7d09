/**
 * The fields and values of Istio's API (1.31/1.32) that the package generated from the CRDs of 1.29.2 does not know yet.
 * Delete an entry when the package has caught up: a test fails then.
 * Source: istio.io/istio, manifests/charts/base/files/crd-all.gen.yaml.
 */
export type FieldType =
  | "string"
  | "boolean"
  | "integer"
  | "duration"
  | "free"
  | { readonly oneOf: readonly string[] }
  | { readonly list: FieldType }
  | { readonly map: FieldType }
  | { readonly fields: Readonly<Record<string, FieldType>>; readonly required?: readonly string[] };

const strings: FieldType = { list: "string" };

const keepAlive: FieldType = { fields: { interval: "duration", timeout: "duration" } };

const loadBalancer: Readonly<Record<string, FieldType>> = {
  backendUtilization: {
    fields: {
      errorUtilizationPenaltyPercent: "integer",
      metricNamesForComputingUtilization: strings,
      weightExpirationPeriod: "string",
      weightStabilizationPeriod: "string",
      weightUpdatePeriod: "string",
    },
  },
  zoneAwareLbSetting: {
    fields: {
      enabled: "boolean",
      failover: { list: { fields: { from: "string", to: "string" } } },
      failoverPriority: strings,
      minClusterSize: "integer",
    },
  },
};

const trafficPolicy = (at: string): Readonly<Record<string, Readonly<Record<string, FieldType>>>> => ({
  [`${at}.connectionPool.http`]: { http2KeepAlive: keepAlive },
  [`${at}.loadBalancer`]: loadBalancer,
  [`${at}.outlierDetection`]: { outlierDetectionHttpErrorCodes: { list: "integer" } },
  [`${at}.portLevelSettings[].connectionPool.http`]: { http2KeepAlive: keepAlive },
  [`${at}.portLevelSettings[].loadBalancer`]: loadBalancer,
  [`${at}.portLevelSettings[].outlierDetection`]: { outlierDetectionHttpErrorCodes: { list: "integer" } },
  [`${at}.retryBudget`]: { budgetInterval: "string" },
});

const serverTls: Readonly<Record<string, FieldType>> = { ecdhCurves: strings, insecureSkipVerify: "boolean" };

/** kind → parent of the field → field → type. */
export const NEWER_FIELDS: Readonly<
  Record<string, Readonly<Record<string, Readonly<Record<string, FieldType>>>>>
> = {
  AuthorizationPolicy: {
    "spec.rules[].from[].source": { trustDomains: strings, notTrustDomains: strings },
  },
  RequestAuthentication: {
    "spec.jwtRules[]": { presence: { oneOf: ["OPTIONAL", "REQUIRED"] } },
  },
  DestinationRule: {
    ...trafficPolicy("spec.trafficPolicy"),
    ...trafficPolicy("spec.subsets[].trafficPolicy"),
  },
  VirtualService: { "spec.http[].redirect": { prefixRewrite: "string" } },
  Gateway: { "spec.servers[].tls": serverTls },
  Sidecar: {
    "spec.inboundConnectionPool.http": { http2KeepAlive: keepAlive },
    "spec.ingress[].connectionPool.http": { http2KeepAlive: keepAlive },
    "spec.ingress[].tls": serverTls,
  },
  EnvoyFilter: { "spec.configPatches[].match.listener.filterChain": { transportSocket: "string" } },
  Telemetry: { "spec.tracing[]": { disableContextPropagation: "boolean" } },
};

/** Values of enumerations that the package lacks: kind → path → values. */
export const NEWER_VALUES: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  EnvoyFilter: { "spec.configPatches[].patch.operation": ["MERGE_AND_REPLACE_LIST"] },
};

const targetRef: FieldType = {
  fields: { group: "string", kind: "string", name: "string", namespace: "string" },
  required: ["kind", "name"],
};

/** Kinds that the package lacks altogether: the type of `spec`. */
export const NEWER_KINDS: Readonly<Record<string, FieldType>> = {
  "extensions.istio.io/v1alpha1/TrafficExtension": {
    fields: {
      lua: { fields: { inlineCode: "string" } },
      match: {
        list: {
          fields: {
            mode: { oneOf: ["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"] },
            ports: { list: { fields: { number: "integer" }, required: ["number"] } },
          },
        },
      },
      phase: { oneOf: ["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] },
      priority: "integer",
      selector: { fields: { matchLabels: { map: "string" } } },
      targetRefs: { list: targetRef },
      wasm: {
        fields: {
          failStrategy: { oneOf: ["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"] },
          imagePullPolicy: { oneOf: ["UNSPECIFIED_POLICY", "IfNotPresent", "Always"] },
          imagePullSecret: "string",
          pluginConfig: "free",
          pluginName: "string",
          sha256: "string",
          type: { oneOf: ["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"] },
          url: "string",
          verificationKey: "string",
          vmConfig: {
            fields: {
              env: {
                list: {
                  fields: { name: "string", value: "string", valueFrom: { oneOf: ["INLINE", "HOST"] } },
                  required: ["name"],
                },
              },
            },
          },
        },
        required: ["url"],
      },
    },
  },
};
