/** An extension provider's settings as Envoy's ext_authz filters want them: read from MeshConfig anew, by istiod's rules. */
import type { Mesh } from "../../model/mesh.ts";
import type { EnvoyObject } from "./envoy-object.ts";

type Settings = Readonly<Record<string, unknown>>;

export interface EnvoyAuthorizer {
  readonly protocol: "grpc" | "http";
  readonly hostname: string;
  /** `outbound|9000||authorizer.foo.svc.cluster.local` */
  readonly cluster: string;
  readonly settings: Settings;
}

/** Null for a name that no provider has, or more than one, and for what istiod refuses. */
export function readAuthorizer(mesh: Mesh, name: string): EnvoyAuthorizer | null {
  const [only, another] = mesh.config.extensionProviders.filter((provider) => provider.name === name);
  if (only === undefined || another !== undefined) return null;
  const protocol = only.settings.envoyExtAuthzHttp === undefined ? "grpc" : "http";
  const settings = (only.settings.envoyExtAuthzHttp ?? only.settings.envoyExtAuthzGrpc) as
    | Settings
    | undefined;
  const hostname = hostnameOf(mesh, String(settings?.service ?? ""));
  const port = Number(settings?.port);
  if (settings === undefined || hostname === undefined || !(port >= 1 && port <= 65_535)) return null;
  if (Object.values(settings).some((value) => Array.isArray(value) && value.includes("*"))) return null;
  return { protocol, hostname, cluster: `outbound|${port}||${hostname}`, settings };
}

/** `[namespace/]hostname` of a service that there is. */
function hostnameOf({ services }: Mesh, text: string): string | undefined {
  const [hostname = "", namespace] = text.split("/").toReversed();
  return services.find(
    (service) =>
      service.hostname === hostname && (namespace === undefined || service.namespace === namespace),
  )?.hostname;
}

/** Fields of `extensions.filters.http.ext_authz.v3.ExtAuthz`. */
export function httpExtAuthz(authorizer: EnvoyAuthorizer): EnvoyObject {
  const { protocol, settings } = authorizer;
  const { statusOnError, includeRequestBodyInCheck: body } = settings;
  const shown = texts(settings.includeRequestHeadersInCheck ?? settings.includeHeadersInCheck);
  return {
    ...common(settings),
    ...(protocol === "grpc"
      ? { grpc_service: grpcService(authorizer) }
      : { http_service: httpService(authorizer), ...named("allowed_headers", shown) }),
    ...(statusOnError === undefined ? {} : { status_on_error: { code: Number(statusOnError) } }),
    ...(body === undefined ? {} : { with_request_body: bodySettings(body as Settings) }),
  };
}

/** Fields of `extensions.filters.network.ext_authz.v3.ExtAuthz`; null for an HTTP authorizer, which istiod asks about requests alone. */
export function networkExtAuthz(authorizer: EnvoyAuthorizer): EnvoyObject | null {
  if (authorizer.protocol === "http") return null;
  return { stat_prefix: "tcp.", ...common(authorizer.settings), grpc_service: grpcService(authorizer) };
}

function common({ failOpen }: Settings): EnvoyObject {
  return { transport_api_version: "V3", failure_mode_allow: failOpen === true };
}

/** Istio's default. */
const timeoutOf = ({ timeout }: Settings): unknown => timeout ?? "600s";

function grpcService({ cluster, hostname, settings }: EnvoyAuthorizer): EnvoyObject {
  return { envoy_grpc: { cluster_name: cluster, authority: hostname }, timeout: timeoutOf(settings) };
}

function httpService({ cluster, hostname, settings }: EnvoyAuthorizer): EnvoyObject {
  const added = Object.entries((settings.includeAdditionalHeadersInCheck ?? {}) as Settings);
  const answered = {
    ...named("allowed_upstream_headers", texts(settings.headersToUpstreamOnAllow)),
    ...named("allowed_client_headers", texts(settings.headersToDownstreamOnDeny)),
    ...named("allowed_client_headers_on_success", texts(settings.headersToDownstreamOnAllow)),
  };
  return {
    server_uri: { uri: `http://${hostname}`, cluster, timeout: timeoutOf(settings) },
    ...(settings.pathPrefix === undefined ? {} : { path_prefix: settings.pathPrefix }),
    ...(added.length === 0
      ? {}
      : { authorization_request: { headers_to_add: added.map(([key, value]) => ({ key, value })) } }),
    ...(Object.keys(answered).length === 0 ? {} : { authorization_response: answered }),
  };
}

function bodySettings({ maxRequestBytes, allowPartialMessage, packAsBytes }: Settings): EnvoyObject {
  return {
    max_request_bytes: maxRequestBytes,
    allow_partial_message: allowPartialMessage === true,
    pack_as_bytes: packAsBytes === true,
  };
}

/** A list of header names, with a star at one end at most; none at all where it is empty. */
function named(field: string, names: readonly string[]): EnvoyObject {
  if (names.length === 0) return {};
  const patterns = names.map((name) => ({
    ignore_case: true,
    ...(name.startsWith("*")
      ? { suffix: name.slice(1) }
      : name.endsWith("*")
        ? { prefix: name.slice(0, -1) }
        : { exact: name }),
  }));
  return { [field]: { patterns } };
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
