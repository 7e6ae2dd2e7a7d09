/**
 * Access logs of Envoy, as Istio writes them in JSON (`meshConfig.accessLogEncoding: JSON`), alone or wrapped by a log collector.
 * @see https://istio.io/latest/docs/tasks/observability/logs/access-log/
 */
import { type Caller, leftOut, malformed, type ObservedHttp, type Reading } from "./flow-reading.ts";
import { isPort } from "./read-bulwark-flow.ts";
import type { WorkloadNames } from "./workload-names.ts";

export interface EnvoyLogOptions {
  /** `namespace/name` of the workload whose proxy wrote the log, where whoever asks knows it. */
  readonly reporter?: string;
  /** Takes addresses of pods that the files tell for identities: only where nobody can forge them. */
  readonly trustAddresses?: boolean;
}

type Json = Readonly<Record<string, unknown>>;

/** @param value parsed from JSON. */
export function readEnvoyLog(value: unknown, names: WorkloadNames, options: EnvoyLogOptions): Reading {
  const entry = unwrapped(value);
  if (typeof entry === "string") return malformed(entry);
  const { log, pod } = entry;
  const timeMs = typeof log.start_time === "string" ? Date.parse(log.start_time) : Number.NaN;
  if (Number.isNaN(timeMs)) return malformed("`start_time` is no time");
  const problem = typeProblem(log);
  if (problem !== undefined) return malformed(problem);
  const cluster = text(log.upstream_cluster) ?? "";
  const refusal = refusalOf(log);
  if (refusal !== undefined) return leftOut(refusal, options.reporter);
  const isInbound = cluster.startsWith("inbound|") || cluster === "InboundPassthroughCluster";
  const isOutbound = cluster.startsWith("outbound|") || cluster === "PassthroughCluster";
  if (!isInbound && !isOutbound) return leftOut("untold", options.reporter);
  const local = addressOf(text(log.downstream_local_address));
  const reporter = reporterOf(
    pod,
    options,
    isInbound ? local?.ip : addressOf(text(log.downstream_remote_address))?.ip,
    names,
  );
  if (reporter === undefined) return leftOut("unknown-workload", nameOf(pod));
  return isInbound
    ? serverFlow(log, reporter, inboundPort(cluster, local?.port), { names, options, timeMs })
    : clientFlow(log, reporter, cluster, timeMs);
}

/** `namespace/name` of a pod that the files do not have. */
function nameOf(pod: Json | undefined): string | undefined {
  const namespace = text(pod?.namespace_name);
  return namespace === undefined ? undefined : `${namespace}/${text(pod?.pod_name) ?? ""}`;
}

/** Collectors put the line under `log` or `message`, and the pod under `kubernetes`. A string: what is wrong. */
function unwrapped(value: unknown): { readonly log: Json; readonly pod: Json | undefined } | string {
  const outer = objectOf(value);
  if (outer === undefined) return "it is no JSON object";
  const pod = objectOf(outer.kubernetes);
  if (outer.start_time !== undefined) return { log: outer, pod };
  const inner = outer.log ?? outer.message;
  const log = objectOf(inner) ?? (typeof inner === "string" ? objectOf(parsed(inner)) : undefined);
  return log === undefined ? "it has no `start_time`, nor a `log` that is JSON" : { log, pod };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function objectOf(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

const TEXTS = [
  "method",
  "path",
  "authority",
  "upstream_cluster",
  "requested_server_name",
  "downstream_local_address",
  "downstream_remote_address",
  "downstream_direct_remote_address",
  "downstream_peer_uri_san",
  "response_flags",
  "response_code_details",
  "connection_termination_details",
  "x_forwarded_for",
] as const;

function typeProblem(log: Json): string | undefined {
  const wrong = TEXTS.find(
    (name) => log[name] !== undefined && log[name] !== null && typeof log[name] !== "string",
  );
  if (wrong !== undefined) return `\`${wrong}\` is no text`;
  const code = log.response_code;
  return code === undefined || code === null || (typeof code === "number" && Number.isInteger(code))
    ? undefined
    : "`response_code` is no whole number";
}

/** Envoy writes `-` for what is not there. */
function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "-" && value !== "" ? value : undefined;
}

/** Response flags of requests that never got past the proxy: refused by an authorizer or a limit, by a route, or broken. */
const REFUSED_FLAGS: ReadonlySet<string> = new Set(["UAEX", "RL", "RLSE", "NR", "NC", "DPE", "FI"]);

function refusalOf(log: Json): "denied" | "failed" | undefined {
  const details = [text(log.response_code_details), text(log.connection_termination_details)];
  const isRefused = details.some(
    (detail) => detail !== undefined && /rbac|ext_authz|jwt_authn/i.test(detail),
  );
  const flags = (text(log.response_flags) ?? "").split(",");
  if (isRefused || flags.some((flag) => REFUSED_FLAGS.has(flag))) return "denied";
  const code = log.response_code;
  // Without details nobody can tell a proxy's refusal from an application's.
  if ((code === 401 || code === 403) && text(log.response_code_details) !== "via_upstream") return "denied";
  const isHttp = text(log.method) !== undefined;
  if (isHttp && code !== undefined && code !== null && code !== 0) return undefined;
  if (isHttp) return "failed";
  return flags.some((flag) => /^U[A-Z]+$/.test(flag)) ? "failed" : undefined;
}

function reporterOf(
  pod: Json | undefined,
  { reporter }: EnvoyLogOptions,
  ownAddress: string | undefined,
  names: WorkloadNames,
): string | undefined {
  if (reporter !== undefined) return names.byKey(reporter)?.key;
  const [namespace, name] = [text(pod?.namespace_name), text(pod?.pod_name)];
  if (namespace !== undefined && name !== undefined) return names.byPod(namespace, name)?.key;
  return ownAddress === undefined ? undefined : names.byAddress(ownAddress)?.key;
}

/** `inbound|8080||`: the container's port. */
function inboundPort(cluster: string, localPort: number | undefined): number | undefined {
  const port = Number(/^inbound\|(\d{1,5})\|/.exec(cluster)?.[1] ?? localPort);
  return isPort(port) ? port : undefined;
}

interface Setting {
  readonly names: WorkloadNames;
  readonly options: EnvoyLogOptions;
  readonly timeMs: number;
}

function serverFlow(
  log: Json,
  workload: string,
  port: number | undefined,
  { names, options, timeMs }: Setting,
): Reading {
  if (port === undefined) return leftOut("untold", workload);
  const http = httpOf(log);
  if (http === undefined) return leftOut("untold", workload);
  const sni = text(log.requested_server_name);
  return {
    kind: "server",
    workload,
    port,
    caller: callerOf(log, names, options),
    http,
    isOpaque: http === null,
    ...(sni === undefined ? {} : { sni }),
    timeMs,
  };
}

/** Null: a connection. Undefined: half a request. */
function httpOf(log: Json): ObservedHttp | null | undefined {
  const [method, path] = [text(log.method), text(log.path)];
  if (method === undefined && path === undefined) return null;
  if (method === undefined || path === undefined) return undefined;
  return typeof log.response_code === "number"
    ? { method, path, status: log.response_code }
    : { method, path };
}

/** The client's certificate, where the log's format has it. An address counts only where it is the socket's own. */
function callerOf(log: Json, names: WorkloadNames, { trustAddresses = false }: EnvoyLogOptions): Caller {
  const direct = addressOf(text(log.downstream_direct_remote_address))?.ip;
  // X-Forwarded-For, which anybody may send, takes the place of the peer's own address.
  const forwarded = text(log.x_forwarded_for) !== undefined;
  const ip = direct ?? (forwarded ? undefined : addressOf(text(log.downstream_remote_address))?.ip);
  const address = ip === undefined ? {} : { ip };
  const san = text(log.downstream_peer_uri_san);
  if (san?.startsWith("spiffe://") === true && !san.includes(","))
    return { principal: san.slice("spiffe://".length), by: "certificate", ...address };
  const workload = trustAddresses && san === undefined && ip !== undefined ? names.byAddress(ip) : undefined;
  return workload === undefined
    ? { principal: null, by: "none", ...address }
    : { principal: workload.spiffeId.slice("spiffe://".length), by: "address", ...address };
}

/** `outbound|443||www.ibm.com` names the service; traffic of no service is told by its host. */
function clientFlow(log: Json, workload: string, cluster: string, timeMs: number): Reading {
  const [, servicePort, , serviceHost] = cluster.split("|");
  const local = addressOf(text(log.downstream_local_address));
  const authority = text(log.authority);
  const host = authority === undefined ? (text(log.requested_server_name) ?? serviceHost) : hostOf(authority);
  const port = local?.port ?? Number(servicePort);
  if (host === undefined || host === "" || !isPort(port)) return leftOut("untold", workload);
  const isHttp = text(log.method) !== undefined;
  const protocol = isHttp ? "http" : text(log.requested_server_name) === undefined ? "tcp" : "tls";
  const passedOn = cluster === "PassthroughCluster" ? { isPassedOn: true as const } : {};
  return { kind: "client", workload, host: host.toLowerCase(), port, protocol, ...passedOn, timeMs };
}

/** Without its port. */
function hostOf(authority: string): string {
  return authority.replace(/:\d{1,5}$/, "");
}

function addressOf(value: string | undefined): { readonly ip: string; readonly port: number } | undefined {
  const match = /^\[?([0-9a-fA-F.:]+?)\]?:(\d{1,5})$/.exec(value ?? "");
  return match === null ? undefined : { ip: match[1] ?? "", port: Number(match[2]) };
}
