/** From RequestAuthentications to a JwtPolicy. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { durationMs } from "../../model/mesh-config.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { attachedPolicies } from "../policy-attachment.ts";
import { jwtVerdict } from "../verdict-catalogue.ts";
import { sanitizeAudience } from "./audience.ts";
import type { JwtLocations, JwtPolicy, JwtRule } from "./jwt-policy.ts";
import { NO_TOKEN } from "./jwt-result.ts";
import { keySource } from "./key-source.ts";

interface JwtRuleFields {
  readonly issuer?: string;
  readonly audiences?: readonly string[];
  readonly jwks?: string;
  readonly jwksUri?: string;
  readonly jwks_uri?: string;
  readonly fromHeaders?: readonly { readonly name?: string; readonly prefix?: string }[];
  readonly fromParams?: readonly string[];
  readonly fromCookies?: readonly string[];
  readonly forwardOriginalToken?: boolean;
  readonly outputPayloadToHeader?: string;
  readonly outputClaimToHeaders?: readonly { readonly header?: string; readonly claim?: string }[];
  readonly spaceDelimitedClaims?: readonly string[];
  readonly timeout?: string;
  readonly presence?: string;
}

const DEFAULT_TIMEOUT_MS = 5000;
const ALWAYS_SPACE_DELIMITED: readonly string[] = ["scope", "permission"];
const DEFAULT_LOCATIONS: JwtLocations = {
  headers: [{ name: "authorization", prefix: "Bearer " }],
  params: ["access_token"],
  cookies: [],
};

/**
 * The token rules of all RequestAuthentications that hold for the workload; null for none.
 * @see https://istio.io/latest/docs/reference/config/security/request_authentication/
 */
export function compileJwtPolicy(mesh: Mesh, workload: Workload): JwtPolicy | null {
  const policies: readonly Resource<unknown>[] = attachedPolicies(
    mesh.requestAuthentications,
    workload,
    mesh.config.rootNamespace,
  );
  // The workload's own namespace comes before the root's; rules of one issuer keep that order.
  const ordered = policies.toSorted(
    (a, b) => Number(a.namespace !== workload.namespace) - Number(b.namespace !== workload.namespace),
  );
  return compileJwtRules(ordered);
}

/** @param ordered rules of one issuer keep this order. */
export function compileJwtRules(ordered: readonly Resource<unknown>[]): JwtPolicy | null {
  const rules = ordered.flatMap((policy) => {
    const { jwtRules = [] } = (policy.spec ?? {}) as { jwtRules?: readonly JwtRuleFields[] };
    return jwtRules.map((fields) => compileJwtRule(fields, resourceName(policy)));
  });
  if (rules.length === 0) return null;
  const outputs = [...new Set(rules.flatMap(outputsOf))];
  return {
    rules: rules.toSorted((a, b) => (a.issuer < b.issuer ? -1 : a.issuer > b.issuer ? 1 : 0)),
    noToken: outputs.length === 0 ? NO_TOKEN : Object.freeze({ ...NO_TOKEN, removeHeaders: outputs }),
    outputs,
  };
}

function outputsOf({ outputPayloadToHeader: payload, outputClaimToHeaders: claims }: JwtRule): string[] {
  return [...(payload === null ? [] : [payload]), ...claims.map(({ header }) => header)];
}

/** Fields that say where a message ends or whom it is for: no claim may write them (RFC 9110 §7.6.1, RFC 9112 §6). */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function compileJwtRule(fields: JwtRuleFields, policy: string): JwtRule {
  const { issuer = "", jwks = "", outputPayloadToHeader: payloadHeader = "" } = fields;
  const timeoutMs = durationMs(fields.timeout) ?? DEFAULT_TIMEOUT_MS;
  const jwksUri = fields.jwksUri ?? fields.jwks_uri ?? "";
  return {
    policy,
    issuer,
    audiences: new Set((fields.audiences ?? []).map(sanitizeAudience)),
    jwks: jwks === "" ? null : jwks,
    keySource: jwks === "" ? keySource(jwksUri, issuer, timeoutMs) : null,
    locations: compileLocations(fields),
    forward: fields.forwardOriginalToken === true,
    outputPayloadToHeader: isOutput(payloadHeader) ? payloadHeader.toLowerCase() : null,
    outputClaimToHeaders: (fields.outputClaimToHeaders ?? [])
      .map(({ header = "", claim = "" }) => ({ header: header.toLowerCase(), claim }))
      .filter(({ header }) => isOutput(header)),
    spaceDelimitedClaims: new Set([...ALWAYS_SPACE_DELIMITED, ...(fields.spaceDelimitedClaims ?? [])]),
    required: fields.presence === "REQUIRED",
    refusals: {
      invalid: jwtVerdict("jwt-invalid", policy),
      noKeys: jwtVerdict("jwt-no-keys", policy),
      unknownIssuer: jwtVerdict("jwt-unknown-issuer", null),
      wrongAudience: jwtVerdict("jwt-wrong-audience", policy),
      required: jwtVerdict("jwt-required", policy),
    },
  };
}

function isOutput(header: string): boolean {
  return header !== "" && !FRAMING.has(header.toLowerCase());
}

/** A rule that names any location looks nowhere else. */
function compileLocations(fields: JwtRuleFields): JwtLocations {
  const headers = (fields.fromHeaders ?? []).map(({ name = "", prefix = "" }) => ({
    name: name.toLowerCase(),
    prefix,
  }));
  const params = fields.fromParams ?? [];
  const cookies = fields.fromCookies ?? [];
  return headers.length + params.length + cookies.length === 0
    ? DEFAULT_LOCATIONS
    : { headers, params, cookies };
}
