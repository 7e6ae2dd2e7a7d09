/** What RBAC reads of a verified token: the metadata that jwt_authn leaves. */
import type { EnvoyObject } from "./envoy-object.ts";
import { regexMatcher, stringMatcher } from "./string-matcher.ts";

/** Under which key jwt_authn leaves a token's claims. */
export const JWT_PAYLOAD = "payload";
export const JWT_AUTHN = "envoy.filters.http.jwt_authn";

function metadata(path: readonly string[], value: EnvoyObject): EnvoyObject {
  return {
    metadata: { filter: JWT_AUTHN, path: [JWT_PAYLOAD, ...path].map((key) => ({ key })), value },
  };
}

/** A claim that is one of the values, or a list with one of them. */
export function jwtClaimMatcher(path: readonly string[], values: readonly string[]): EnvoyObject {
  const alternatives = values.map((value) => ({ string_match: stringMatcher(value) }));
  const [only] = alternatives;
  const text =
    alternatives.length === 1 && only !== undefined ? only : { or_match: { value_matchers: alternatives } };
  return metadata(path, { or_match: { value_matchers: [{ list_match: { one_of: text } }, text] } });
}

/** `issuer/subject`, split at the last slash as issuers are URLs. A star may stand at either end of the whole value. */
export function requestPrincipalMatcher(value: string): EnvoyObject {
  const { issuer, subject } = issuerAndSubject(value);
  return {
    and_ids: {
      ids: [metadata(["iss"], { string_match: issuer }), metadata(["sub"], { string_match: subject })],
    },
  };
}

const ANY = regexMatcher(".+");

function issuerAndSubject(value: string): { issuer: EnvoyObject; subject: EnvoyObject } {
  if (value === "*") return { issuer: ANY, subject: ANY };
  const slash = value.lastIndexOf("/");
  const head = value.slice(0, slash);
  const tail = value.slice(slash + 1);
  if (value.startsWith("*")) {
    if (slash < 0) return { issuer: ANY, subject: { suffix: value.slice(1) } };
    return { issuer: head === "*" ? ANY : { suffix: head.slice(1) }, subject: { exact: tail } };
  }
  if (value.endsWith("*")) {
    if (slash < 0) return { issuer: { prefix: value.slice(0, -1) }, subject: ANY };
    return { issuer: { exact: head }, subject: tail === "*" ? ANY : { prefix: tail.slice(0, -1) } };
  }
  return slash < 0
    ? { issuer: { exact: value }, subject: { exact: "" } }
    : { issuer: { exact: head }, subject: { exact: tail } };
}
