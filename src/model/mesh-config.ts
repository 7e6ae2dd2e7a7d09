/** MeshConfig: the settings that change a decision or the data plane. Source: istio.io/docs/reference/config/istio.mesh.v1alpha1. */

export type OutboundMode = "REGISTRY_ONLY" | "ALLOW_ANY" | "ALLOW_ANY_DYNAMIC_DNS";
export type PathNormalization = "NONE" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES";

export interface ExtensionProvider {
  readonly name: string;
  /** The provider's own settings, by kind: `envoyExtAuthzHttp`, `envoyExtAuthzGrpc`, … */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface MeshConfig {
  readonly rootNamespace: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  /** Others' trust domains whose workloads may be talked to. No setting of Istio's: who runs the mesh says so (see `withFederation`). */
  readonly federatedTrustDomains: readonly string[];
  readonly outboundTrafficPolicy: OutboundMode;
  readonly pathNormalization: PathNormalization;
  readonly numTrustedProxies: number;
  readonly enableAutoMtls: boolean;
  readonly extensionProviders: readonly ExtensionProvider[];
  readonly defaultServiceExportTo: readonly string[];
  readonly defaultVirtualServiceExportTo: readonly string[];
  readonly defaultDestinationRuleExportTo: readonly string[];
  /** Milliseconds to wait for a client's first bytes before a server-first protocol is assumed; 0 = for ever. */
  readonly protocolDetectionTimeoutMs: number;
  /** Label selectors of the namespaces that count; none: all of them. As written. */
  readonly discoverySelectors: readonly unknown[];
  /** Everything as written, for settings that are not modelled. */
  readonly raw: Readonly<Record<string, unknown>>;
}

const DEFAULT_PROTOCOL_DETECTION_TIMEOUT_MS = 5000;

/**
 * Reads a MeshConfig object (the parsed `data.mesh` of the ConfigMap `istio`).
 * @param home namespace of the ConfigMap: the root namespace where `rootNamespace` is not set.
 */
export function parseMeshConfig(raw: Readonly<Record<string, unknown>>, home: string): MeshConfig {
  const outbound = asRecord(raw.outboundTrafficPolicy).mode;
  const normalization = asRecord(raw.pathNormalization).normalization;
  const proxies = asRecord(asRecord(raw.defaultConfig).gatewayTopology).numTrustedProxies;
  return {
    rootNamespace: text(raw.rootNamespace) ?? home,
    trustDomain: text(raw.trustDomain) ?? "cluster.local",
    trustDomainAliases: texts(raw.trustDomainAliases),
    federatedTrustDomains: [],
    outboundTrafficPolicy: OUTBOUND_MODES.find((mode) => mode === outbound) ?? "ALLOW_ANY",
    pathNormalization: PATH_NORMALIZATIONS.find((mode) => mode === normalization) ?? "BASE",
    numTrustedProxies: typeof proxies === "number" ? proxies : 0,
    enableAutoMtls: raw.enableAutoMtls !== false,
    extensionProviders: list(raw.extensionProviders).map(asRecord).map(extensionProvider),
    defaultServiceExportTo: texts(raw.defaultServiceExportTo),
    defaultVirtualServiceExportTo: texts(raw.defaultVirtualServiceExportTo),
    defaultDestinationRuleExportTo: texts(raw.defaultDestinationRuleExportTo),
    protocolDetectionTimeoutMs:
      durationMs(raw.protocolDetectionTimeout) ?? DEFAULT_PROTOCOL_DETECTION_TIMEOUT_MS,
    discoverySelectors: list(raw.discoverySelectors),
    raw,
  };
}

const OUTBOUND_MODES: readonly OutboundMode[] = ["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"];
const PATH_NORMALIZATIONS: readonly PathNormalization[] = [
  "NONE",
  "BASE",
  "MERGE_SLASHES",
  "DECODE_AND_MERGE_SLASHES",
];

function extensionProvider(raw: Readonly<Record<string, unknown>>): ExtensionProvider {
  const { name, ...settings } = raw;
  return { name: text(name) ?? "", settings };
}

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  ns: 1e-6,
};

/** A Go or protobuf duration (`1h30m`, `0.5s`, `250ms`) in milliseconds; undefined where it is none. */
export function durationMs(value: unknown): number | undefined {
  if (typeof value !== "string" || !/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount, unit] of value.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)) {
    total += Number(amount) * (DURATION_UNITS_MS[unit ?? ""] ?? 0);
  }
  return total;
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function texts(value: unknown): readonly string[] {
  return list(value).filter((entry) => typeof entry === "string");
}

/** The same settings in a mesh that is federated with these trust domains. An alias stays an alias: its identities are the mesh's own. */
export function withFederation(config: MeshConfig, trustDomains: readonly string[]): MeshConfig {
  const own = new Set([config.trustDomain, ...config.trustDomainAliases]);
  return { ...config, federatedTrustDomains: trustDomains.filter((domain) => !own.has(domain)) };
}

/** The settings of a mesh without a MeshConfig: Istio's defaults. */
export const DEFAULT_MESH_CONFIG: MeshConfig = parseMeshConfig({}, "istio-system");
