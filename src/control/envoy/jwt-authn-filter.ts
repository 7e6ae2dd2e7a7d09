/**
 * RequestAuthentications as Envoy's jwt_authn filter.
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/jwt_authn/v3/config.proto
 */
import { generateKeyPairSync } from "node:crypto";
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type EnvoyObject, extension } from "./envoy-object.ts";
import { JWT_AUTHN, JWT_PAYLOAD } from "./jwt-claim-matcher.ts";
import { policiesFor } from "./workload-policies.ts";

interface JwtRule {
  readonly issuer?: string;
  readonly audiences?: readonly string[];
  readonly jwks?: string;
  readonly fromHeaders?: readonly { readonly name?: string; readonly prefix?: string }[];
  readonly fromParams?: readonly string[];
  readonly fromCookies?: readonly string[];
  readonly forwardOriginalToken?: boolean;
  readonly outputPayloadToHeader?: string;
  readonly outputClaimToHeaders?: readonly { readonly header?: string; readonly claim?: string }[];
  readonly spaceDelimitedClaims?: readonly string[];
  readonly presence?: string;
}

/** Whose private key nobody has: where a rule's keys cannot be had, no token passes (Envoy takes no empty set). */
const NOBODYS_KEYS = JSON.stringify({
  keys: [
    {
      ...generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" }),
      alg: "ES256",
    },
  ],
});

/** Null where no rule holds. Keys are taken inline only; a rule that names a URI refuses every token. */
export function jwtAuthnFilter(mesh: Mesh, workload: Workload): EnvoyObject | null {
  const rules = policiesFor(mesh, workload, mesh.requestAuthentications)
    .flatMap(({ spec }) => (spec as { readonly jwtRules?: readonly JwtRule[] } | undefined)?.jwtRules ?? [])
    .toSorted((a, b) => compare(a.issuer ?? "", b.issuer ?? ""));
  if (rules.length === 0) return null;
  const named = rules.map((rule, index) => ({ rule, name: `origins-${index}` }));
  return extension(JWT_AUTHN, "extensions.filters.http.jwt_authn.v3.JwtAuthentication", {
    providers: Object.fromEntries(named.map(({ rule, name }) => [name, provider(rule)])),
    rules: [{ match: { prefix: "/" }, requires: requirement(named) }],
    bypass_cors_preflight: true,
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function provider(rule: JwtRule): EnvoyObject {
  const { jwks = "", outputClaimToHeaders = [] } = rule;
  return {
    issuer: rule.issuer ?? "",
    audiences: rule.audiences ?? [],
    local_jwks: { inline_string: jwks === "" ? NOBODYS_KEYS : jwks },
    forward: rule.forwardOriginalToken === true,
    forward_payload_header: rule.outputPayloadToHeader ?? "",
    from_headers: (rule.fromHeaders ?? []).map(({ name, prefix = "" }) => ({ name, value_prefix: prefix })),
    from_params: rule.fromParams ?? [],
    from_cookies: rule.fromCookies ?? [],
    claim_to_headers: outputClaimToHeaders.map(({ header, claim }) => ({
      header_name: header,
      claim_name: claim,
    })),
    payload_in_metadata: JWT_PAYLOAD,
    normalize_payload_in_metadata: {
      space_delimited_claims: [
        ...new Set(["permission", "scope", ...(rule.spaceDelimitedClaims ?? [])]),
      ].sort(),
    },
  };
}

type NamedRule = { readonly rule: JwtRule; readonly name: string };

/**
 * One good token is enough, even beside a bad one. Without one: none may be bad, and none of those that are required missing.
 */
function requirement(rules: readonly NamedRule[]): EnvoyObject {
  // Envoy takes no list of one.
  const each: EnvoyObject[] = rules.map(({ rule, name }) =>
    rule.presence === "REQUIRED"
      ? { provider_name: name }
      : { requires_any: { requirements: [{ provider_name: name }, { allow_missing: {} }] } },
  );
  const [only] = each;
  if (each.length === 1 && only !== undefined) return only;
  const good = rules.map(({ name }) => ({ provider_name: name }));
  return { requires_any: { requirements: [...good, { requires_all: { requirements: each } }] } };
}
