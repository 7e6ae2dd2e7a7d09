/**
 * Extension providers that a CUSTOM policy can name: external authorizers that speak Envoy's ext_authz protocol.
 * @see https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig-ExtensionProvider
 */
import type { Mesh, Service } from "../model/mesh.ts";
import { durationMs } from "../model/mesh-config.ts";
import { compileHeaderNames, type HeaderNames } from "./ext-authz-headers.ts";

/** What the provider speaks; an HTTP one has no say on TCP. */
export type ProviderKind = "http" | "grpc";

/** How much of a request's body the authorizer is shown. */
export interface BodyInCheck {
  readonly maxBytes: number;
  /** A longer body is cut for the authorizer; else it is refused with 413, whatever `failOpen` says. */
  readonly allowPartial: boolean;
  /** gRPC only: as bytes, not as text. */
  readonly packAsBytes: boolean;
}

/** What only HTTP authorizers have. */
export interface HttpAuthorizerSettings {
  /** Put before the request's own path; empty for none. */
  readonly pathPrefix: string;
  /** Headers of the request to show, besides Authorization, Host, method and path. */
  readonly requestHeaders: HeaderNames;
  /** Fixed headers, name and value by turns; they replace the request's. */
  readonly additionalHeaders: readonly string[];
  readonly toUpstreamOnAllow: HeaderNames;
  readonly toDownstreamOnAllow: HeaderNames;
  /** Null: every header of the authorizer's answer. */
  readonly toDownstreamOnDeny: HeaderNames | null;
}

/** A provider that can be used: compiled once for each workload that a CUSTOM policy selects. */
export interface ExtAuthzProvider {
  readonly name: string;
  readonly kind: ProviderKind;
  readonly hostname: string;
  readonly port: number;
  /** The client's cluster by which it is reached: `outbound|9000||ext-authz.foo.svc.cluster.local`. */
  readonly cluster: string;
  readonly timeoutMs: number;
  /** An authorizer that cannot be asked counts as one that allows. */
  readonly failOpen: boolean;
  /** Gateways route by the headers as the authorizer leaves them, rather than as they came. */
  readonly clearRouteCache: boolean;
  /** HTTP status of a refusal because the authorizer could not be asked. */
  readonly statusOnError: number;
  readonly body: BodyInCheck | null;
  /** Null for gRPC. */
  readonly http: HttpAuthorizerSettings | null;
}

/** Istio's default, which its own documentation gives. */
const DEFAULT_TIMEOUT_MS = 600_000;
const DEFAULT_STATUS_ON_ERROR = 403;

/** Usable providers by name: of a known kind, with a port, a service that exists, and a name of its own. */
export function compileProviders(mesh: Mesh): ReadonlyMap<string, ExtAuthzProvider> {
  const providers = new Map<string, ExtAuthzProvider>();
  const seen = new Set<string>();
  for (const { name, settings } of mesh.config.extensionProviders) {
    const { envoyExtAuthzHttp: http, envoyExtAuthzGrpc: grpc } = settings;
    const provider =
      http !== undefined
        ? compileProvider(mesh, name, "http", http)
        : compileProvider(mesh, name, "grpc", grpc);
    // A name given twice is an error in both places.
    if (seen.has(name)) providers.delete(name);
    else if (provider !== null && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name))
      providers.set(name, provider);
    seen.add(name);
  }
  return providers;
}

type Settings = Readonly<Record<string, unknown>>;

/** Null for what Istio refuses: a policy that names it denies what it matches. */
function compileProvider(
  mesh: Mesh,
  name: string,
  kind: ProviderKind,
  given: unknown,
): ExtAuthzProvider | null {
  if (!isObject(given)) return null;
  const { port } = given;
  const service = serviceOf(mesh, given.service);
  const statusOnError = statusOf(given.statusOnError);
  const http = kind === "http" ? httpSettings(given) : null;
  if (!isPort(port) || service === null || statusOnError === null || http === "invalid") return null;
  return {
    name,
    kind,
    hostname: service.hostname,
    port,
    cluster: `outbound|${port}||${service.hostname}`,
    timeoutMs: durationMs(given.timeout) ?? DEFAULT_TIMEOUT_MS,
    failOpen: given.failOpen === true,
    clearRouteCache: given.clearRouteCache === true,
    statusOnError,
    body: bodySettings(given.includeRequestBodyInCheck),
    http,
  };
}

function serviceOf(mesh: Mesh, given: unknown): Service | null {
  if (typeof given !== "string") return null;
  const slash = given.indexOf("/");
  const namespace = slash < 0 ? undefined : given.slice(0, slash);
  const hostname = given.slice(slash + 1);
  const found = mesh.services.find(
    (service) =>
      service.hostname === hostname && (namespace === undefined || service.namespace === namespace),
  );
  return found ?? null;
}

/** The statuses of Envoy's `type.v3.StatusCode`. */
const STATUSES: ReadonlySet<number> = new Set([
  100, 102, 103, 104, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307,
  308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422,
  423, 424, 426, 428, 429, 431, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
]);

/** Null for no status. An interim one (1xx) cannot be the answer to a request: the default takes its place. */
function statusOf(given: unknown): number | null {
  if (given === undefined || given === "") return DEFAULT_STATUS_ON_ERROR;
  const code = /^\d{3}$/.test(String(given)) ? Number(given) : 0;
  if (!STATUSES.has(code)) return null;
  return code < 200 ? DEFAULT_STATUS_ON_ERROR : code;
}

function bodySettings(given: unknown): BodyInCheck | null {
  if (!isObject(given)) return null;
  const { maxRequestBytes: max } = given;
  const maxBytes = typeof max === "number" && Number.isInteger(max) && max > 0 ? max : 0;
  return {
    maxBytes,
    allowPartial: given.allowPartialMessage === true,
    packAsBytes: given.packAsBytes === true,
  };
}

function httpSettings(given: Settings): HttpAuthorizerSettings | "invalid" {
  const pathPrefix = typeof given.pathPrefix === "string" ? given.pathPrefix : "";
  const included = texts(given.includeRequestHeadersInCheck);
  const lists = {
    // The deprecated spelling counts only where the other is not used.
    requestHeaders: included.length > 0 ? included : texts(given.includeHeadersInCheck),
    toUpstreamOnAllow: texts(given.headersToUpstreamOnAllow),
    toDownstreamOnAllow: texts(given.headersToDownstreamOnAllow),
    toDownstreamOnDeny: texts(given.headersToDownstreamOnDeny),
  };
  // Istio takes no `*` alone.
  const anything = Object.values(lists).flat().includes("*");
  if (anything || (pathPrefix !== "" && !/^\/[\x21-\x7e]*$/.test(pathPrefix))) return "invalid";
  const { requestHeaders, toUpstreamOnAllow, toDownstreamOnAllow, toDownstreamOnDeny } = lists;
  return {
    pathPrefix,
    requestHeaders: compileHeaderNames(requestHeaders),
    additionalHeaders: fixedHeaders(given.includeAdditionalHeadersInCheck),
    toUpstreamOnAllow: compileHeaderNames(toUpstreamOnAllow),
    toDownstreamOnAllow: compileHeaderNames(toDownstreamOnAllow),
    toDownstreamOnDeny: toDownstreamOnDeny.length === 0 ? null : compileHeaderNames(toDownstreamOnDeny),
  };
}

function fixedHeaders(given: unknown): readonly string[] {
  if (!isObject(given)) return [];
  return Object.entries(given)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, value]) => [name.toLowerCase(), String(value)]);
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function isObject(value: unknown): value is Settings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}
