import { isObject } from "../read-objects.ts";
import { checkDuration } from "./duration.ts";
import { type Field, quoted } from "./field.ts";
import { checkAttachment } from "./labels.ts";

/** @see https://istio.io/latest/docs/reference/config/security/request_authentication/ */
export function checkRequestAuthentication(spec: Field): void {
  checkAttachment(spec);
  const rules = spec.at("jwtRules");
  if (rules.size > 4096) rules.error("BW1105_OUT_OF_BOUNDS", "`spec.jwtRules` has more than 4096 entries");
  for (const rule of rules.items()) checkJwtRule(rule);
}

function checkJwtRule(rule: Field): void {
  const uris = [rule.at("jwksUri"), rule.at("jwks_uri")];
  const keys = [...uris, rule.at("jwks")].filter((field) => field.present);
  if (keys.length > 1)
    keys[1]?.errorAtKey(
      "BW1217_JWT_RULE",
      "only one of `jwks` and `jwksUri` may be set",
      "keep the one that is kept up to date",
    );
  if (rule.at("issuer").text === "" && uris.every((uri) => uri.text === "")) {
    rule.error(
      "BW1217_JWT_RULE",
      `\`${rule.name}\` needs an \`issuer\` or a \`jwksUri\``,
      "the issuer is the token's `iss`",
    );
  }
  for (const uri of uris) if (uri.text !== "") checkJwksUri(uri);
  checkJwks(rule.at("jwks"));
  for (const list of ["audiences", "fromParams", "fromCookies", "spaceDelimitedClaims"]) {
    for (const item of rule.at(list).items()) if (item.text === "") emptyName(item);
  }
  for (const header of rule.at("fromHeaders").items())
    if (header.at("name").text === "") emptyName(header.at("name"));
  for (const output of rule.at("outputClaimToHeaders").items()) checkOutput(output);
  if (rule.at("timeout").present) checkDuration(rule.at("timeout"));
}

function checkOutput(output: Field): void {
  const header = output.at("header");
  for (const field of [header, output.at("claim")]) if (field.text === "") emptyName(field);
  if (header.text !== "" && !/^[-_A-Za-z0-9]+$/.test(header.text)) {
    header.error("BW1223_HEADER", `${quoted(header.text)} is no header name`, "letters, digits, `-` and `_`");
  }
}

function emptyName(field: Field): void {
  field.error("BW1217_JWT_RULE", `\`${field.name}\` must not be empty`, "remove it, or give it a value");
}

function checkJwksUri(uri: Field): void {
  if (/^https?:\/\//i.test(uri.text) && URL.canParse(uri.text)) return;
  uri.error(
    "BW1217_JWT_RULE",
    `\`${uri.name}\` is ${quoted(uri.text)}, which is no http:// or https:// URL`,
    "`https://issuer.example/.well-known/jwks.json`",
  );
}

/** Members that only a private or shared key has (RFC 7518 §6). */
const PRIVATE_MEMBERS: readonly string[] = ["d", "p", "q", "dp", "dq", "qi", "k"];

function checkJwks(field: Field): void {
  if (field.text === "") return;
  let parsed: unknown;
  try {
    parsed = JSON.parse(field.text);
  } catch {
    // The text may hold a private key, so the parser's message, which cites it, is not repeated.
    field.error("BW1217_JWT_RULE", `\`${field.name}\` is no JSON`, 'write `{"keys": [ … ]}` (RFC 7517)');
    return;
  }
  const keys = keysOf(parsed);
  if (keys === undefined) {
    field.error(
      "BW1217_JWT_RULE",
      `\`${field.name}\` is neither a JWK nor a set of them`,
      'write `{"keys": [ … ]}` (RFC 7517)',
    );
    return;
  }
  for (const [index, key] of keys.entries()) {
    if (PRIVATE_MEMBERS.some((member) => member in key)) {
      field.warning(
        "BW1303_PRIVATE_JWK",
        `key ${index} of \`${field.name}\` holds a private or shared key`,
        "only public keys are needed to verify: remove it, and replace the key, which is known now",
      );
    }
  }
}

/** What each type of key cannot be without (RFC 7518 §6, RFC 8037). */
const REQUIRED_MEMBERS: Readonly<Record<string, readonly string[]>> = Object.assign(Object.create(null), {
  RSA: ["n", "e"],
  EC: ["crv", "x", "y"],
  OKP: ["crv", "x"],
  oct: ["k"],
});

function keysOf(parsed: unknown): readonly object[] | undefined {
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const keys: unknown = "keys" in parsed ? parsed.keys : [parsed];
  return Array.isArray(keys) && keys.every(isKey) ? keys : undefined;
}

function isKey(key: unknown): boolean {
  if (!isObject(key)) return false;
  const required = REQUIRED_MEMBERS[String(key.kty)];
  return required?.every((member) => typeof key[member] === "string" && key[member] !== "") === true;
}
