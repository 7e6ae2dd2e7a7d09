/** What Envoy tells of each request and connection: one JSON line each. */
import { type EnvoyObject, extension } from "./envoy-object.ts";
import { EXT_AUTHZ_STAT_PREFIX } from "./ext-authz-filters.ts";
import { RULES_STAT_PREFIX } from "./rbac-filters.ts";

/** A line as read back. Absent facts are null; numbers come as numbers. */
export interface AccessLogLine {
  readonly kind: "request" | "connection";
  /** Address and port of the socket's peer. */
  readonly peer: string;
  readonly local: string;
  readonly chain: string | null;
  readonly flags: string | null;
  readonly tlsFailure: string | null;
  /** Why a connection was ended by Envoy. */
  readonly terminated: string | null;
  readonly upstream: string | null;
  readonly status: number;
  readonly details: string | null;
  readonly path: string | null;
  readonly authority: string | null;
  /** RBAC's name of the rule that allowed, where one did. */
  readonly allowedBy: string | null;
  /** The same of a CUSTOM policy's rule that had an authorizer asked. */
  readonly askedBy: string | null;
}

const ASKED_BY: Readonly<Record<AccessLogLine["kind"], string>> = {
  request: `%DYNAMIC_METADATA(envoy.filters.http.rbac:${EXT_AUTHZ_STAT_PREFIX}shadow_effective_policy_id)%`,
  connection: `%DYNAMIC_METADATA(envoy.filters.network.rbac:${EXT_AUTHZ_STAT_PREFIX}shadow_effective_policy_id)%`,
};

/** `ns[foo]-policy[p]-rule[0]`, or null where no rule decided. */
const ALLOWED_BY: Readonly<Record<AccessLogLine["kind"], string>> = {
  request: `%DYNAMIC_METADATA(envoy.filters.http.rbac:${RULES_STAT_PREFIX.ALLOW}enforced_effective_policy_id)%`,
  connection: `%DYNAMIC_METADATA(envoy.filters.network.rbac:${RULES_STAT_PREFIX.ALLOW}shadow_effective_policy_id)%`,
};

const FIELDS: Omit<Record<keyof AccessLogLine, string>, "kind" | "allowedBy" | "askedBy"> = {
  peer: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
  local: "%DOWNSTREAM_LOCAL_ADDRESS%",
  chain: "%FILTER_CHAIN_NAME%",
  flags: "%RESPONSE_FLAGS%",
  tlsFailure: "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
  terminated: "%CONNECTION_TERMINATION_DETAILS%",
  upstream: "%UPSTREAM_HOST%",
  status: "%RESPONSE_CODE%",
  details: "%RESPONSE_CODE_DETAILS%",
  path: "%REQ(:PATH)%",
  authority: "%REQ(:AUTHORITY)%",
};

export function accessLog(path: string, kind: AccessLogLine["kind"]): EnvoyObject {
  const fields = { kind, ...FIELDS, allowedBy: ALLOWED_BY[kind], askedBy: ASKED_BY[kind] };
  return extension("envoy.access_loggers.file", "extensions.access_loggers.file.v3.FileAccessLog", {
    path,
    log_format: { json_format: fields },
  });
}
