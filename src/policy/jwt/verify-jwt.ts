/**
 * Verifies the tokens of a request. The order of checks and what outweighs what are those of Envoy's jwt_authn filter as Istio
 * configures it: any of the rules, or all of them with "no token" allowed.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/jwt_authn_filter
 */
import type { FlatHeaders, HttpRequest } from "../http-request.ts";
import type { Verdict } from "../verdict.ts";
import { isAudienceAllowed } from "./audience.ts";
import { claimText } from "./claim-text.ts";
import { extractTokens, type FoundToken, withoutParameters } from "./extract-token.ts";
import type { FetchJwks, JwtPolicy, JwtRule, RefetchJwks } from "./jwt-policy.ts";
import { type Claims, type JwtResult, NO_TOKEN, withoutFields } from "./jwt-result.ts";
import { KeySet } from "./key-set.ts";
import { parseToken, type UnverifiedToken } from "./token.ts";

export interface JwtEnvironment {
  readonly fetchJwks: FetchJwks;
  /** Where there is none, a key that is not known stays unknown. */
  readonly refetchJwks?: RefetchJwks;
  /** Seconds since the epoch. */
  readonly nowSeconds: () => number;
}

/** What clocks may differ by. */
const CLOCK_SKEW_SECONDS = 60;

/** What one rule says of the request. */
interface RuleOutcome {
  readonly kind: "missing" | "unknown-issuer" | "wrong-audience" | "invalid" | "no-keys" | "valid";
}

/** A token that was found good, and what it comes to. */
interface GoodToken {
  readonly rule: JwtRule;
  readonly token: Pick<UnverifiedToken, "claims" | "payloadText">;
  readonly found: FoundToken | null;
}

/** A request while its tokens are looked at: good ones that are not to go on are taken out at once, and nobody finds them again. */
interface Search {
  readonly method: string;
  path: string;
  headers: FlatHeaders;
  readonly good: GoodToken[];
}

const MISSING: RuleOutcome = { kind: "missing" };
const UNKNOWN_ISSUER: RuleOutcome = { kind: "unknown-issuer" };
const WRONG_AUDIENCE: RuleOutcome = { kind: "wrong-audience" };
const INVALID: RuleOutcome = { kind: "invalid" };
const VALID: RuleOutcome = { kind: "valid" };
const NO_KEYS: RuleOutcome = { kind: "no-keys" };

/**
 * Verifies what tokens there are. Never rejects. Set the outcome on `request.jwt` before deciding.
 * A request in which no rule finds a token comes back at once, as the policy's `noToken` itself.
 */
export async function verifyRequestJwt(
  policy: JwtPolicy,
  request: HttpRequest,
  environment: JwtEnvironment,
): Promise<JwtResult> {
  if (isCorsPreflight(request)) return policy.noToken;
  const { method, path } = request;
  // A header that one rule sets is no place where another finds a client's token, as in Envoy.
  const search: Search = { method, path, headers: withoutFields(request.headers, policy.outputs), good: [] };
  const outcomes: RuleOutcome[] = [];
  for (const rule of policy.rules) {
    const outcome = await verifyRule(rule, search, environment);
    outcomes.push(outcome);
    if (outcome === VALID) return accept(policy, search.good);
  }
  return await refuseOrPass(policy, outcomes, search, environment);
}

/** No rule accepted all that it found: passes where none finds a token (any more), and none has to. */
async function refuseOrPass(
  policy: JwtPolicy,
  outcomes: readonly RuleOutcome[],
  search: Search,
  environment: JwtEnvironment,
): Promise<JwtResult> {
  const left = await lookAgain(policy, outcomes, search, environment);
  const index = toldOutcome(left, outcomes);
  const rule = policy.rules[index];
  const outcome = left[index]?.kind === "unknown-issuer" ? outcomes[index] : left[index];
  if (rule !== undefined && outcome !== undefined) return refuse(refusalOf(rule, outcome));
  const required = policy.rules.find((candidate, at) => candidate.required && left[at] !== VALID);
  if (required !== undefined) return refuse(required.refusals.required);
  return search.good.length === 0 ? policy.noToken : accept(policy, search.good);
}

/**
 * Several rules are asked twice: each alone, then all together with "no token" allowed. Where the first time took a good token out, and
 * with it what else stood in its header, the second may find nothing to refuse; the good token counts. A single rule is asked once.
 */
async function lookAgain(
  { rules }: JwtPolicy,
  outcomes: readonly RuleOutcome[],
  search: Search,
  environment: JwtEnvironment,
): Promise<readonly RuleOutcome[]> {
  if (rules.length < 2 || search.good.length === 0) return outcomes;
  const again: RuleOutcome[] = [];
  for (const rule of rules) again.push(await verifyRule(rule, search, environment));
  return again;
}

/**
 * Of several rules that refuse, the one that is told; -1 for none. Envoy asks for any of the rules, or else for all of them: the first
 * that finds a token refuses the latter, and is told, unless it merely does not know the issuer; then the last that says more.
 */
function toldOutcome(together: readonly RuleOutcome[], alone: readonly RuleOutcome[]): number {
  const first = together.findIndex(refuses);
  if (together[first]?.kind !== "unknown-issuer") return first;
  const last = alone.findLastIndex((outcome) => refuses(outcome) && outcome.kind !== "unknown-issuer");
  return last < 0 ? first : last;
}

const refuses = ({ kind }: RuleOutcome): boolean => kind !== "missing" && kind !== "valid";

function refusalOf(rule: JwtRule, outcome: RuleOutcome): Verdict {
  switch (outcome.kind) {
    case "wrong-audience":
      return rule.refusals.wrongAudience;
    case "unknown-issuer":
      return rule.refusals.unknownIssuer;
    case "no-keys":
      return rule.refusals.noKeys;
    default:
      return rule.refusals.invalid;
  }
}

function refuse(refusal: Verdict): JwtResult {
  return { ...NO_TOKEN, refusal };
}

/** All tokens that the rule finds must be good: a backend might read the bad one. */
async function verifyRule(rule: JwtRule, search: Search, environment: JwtEnvironment): Promise<RuleOutcome> {
  let outcome = MISSING;
  for (const found of extractTokens(rule.locations, search).toReversed()) {
    const token = parseToken(found.text);
    outcome = token === undefined ? INVALID : await verifyToken(rule, token, environment);
    if (token === undefined || outcome !== VALID) return outcome;
    search.good.push({ rule, token, found });
    if (!rule.forward) takeOut(search, found);
  }
  return outcome;
}

function takeOut(search: Search, { header, param }: FoundToken): void {
  if (header !== null) search.headers = withoutFields(search.headers, [header]);
  if (param !== null) search.path = withoutParameters(search.path, [param]);
}

async function verifyToken(
  rule: JwtRule,
  token: UnverifiedToken,
  environment: JwtEnvironment,
): Promise<RuleOutcome> {
  if (rule.issuer !== "" && token.issuer !== rule.issuer) return UNKNOWN_ISSUER;
  const now = environment.nowSeconds();
  if (token.notBefore !== null && now + CLOCK_SKEW_SECONDS < token.notBefore) return INVALID;
  if (token.expires !== null && now > token.expires + CLOCK_SKEW_SECONDS) return INVALID;
  if (!isAudienceAllowed(rule.audiences, token.audiences)) return WRONG_AUDIENCE;
  const keys = await keysOf(rule, environment);
  if (keys === undefined) return NO_KEYS;
  return (await isSigned(rule, token, keys, environment)) ? VALID : INVALID;
}

/** A key that is not known may be newer than what was fetched last. */
async function isSigned(
  { keySource }: JwtRule,
  token: UnverifiedToken,
  keys: KeySet,
  { refetchJwks }: JwtEnvironment,
): Promise<boolean> {
  if (await keys.verifies(token)) return true;
  if (keySource === null || refetchJwks === undefined) return false;
  if (token.keyId === null || keys.names(token.keyId)) return false;
  const document = await refetchJwks(keySource);
  const newer = document === undefined ? keys : keySetOf(document);
  return newer !== keys && (await newer.verifies(token));
}

/** By document, so that a rotated one is read anew; an old one goes with the rule or the cache that held it. */
const keySets = new Map<string, KeySet>();
const KEY_SETS_LIMIT = 256;

async function keysOf(rule: JwtRule, environment: JwtEnvironment): Promise<KeySet | undefined> {
  if (rule.jwks !== null) return keySetOf(rule.jwks);
  if (rule.keySource === null) return undefined;
  try {
    return keySetOf(await environment.fetchJwks(rule.keySource));
  } catch {
    return undefined;
  }
}

function keySetOf(document: string): KeySet {
  const known = keySets.get(document);
  if (known !== undefined) return known;
  if (keySets.size >= KEY_SETS_LIMIT) keySets.clear();
  const made = new KeySet(document);
  keySets.set(document, made);
  return made;
}

/** @param good in the order in which they were verified: the last one's claims count. */
function accept(policy: JwtPolicy, good: readonly GoodToken[]): JwtResult {
  const last = good.at(-1);
  const spent = good.flatMap(({ rule, found }) => (rule.forward || found === null ? [] : found));
  return {
    refusal: null,
    claims:
      last === undefined ? null : splitSpaceDelimited(last.token.claims, last.rule.spaceDelimitedClaims),
    setHeaders: [...new Map(good.flatMap(headersOf))],
    removeHeaders: [...new Set([...spent.flatMap(({ header }) => header ?? []), ...policy.outputs])],
    removeParams: [...new Set(spent.flatMap(({ param }) => param ?? []))],
  };
}

/** Headers that the rule makes of a token. */
function headersOf({ rule, token }: GoodToken): (readonly [name: string, value: string])[] {
  const made: (readonly [string, string])[] = [];
  if (rule.outputPayloadToHeader !== null) made.push([rule.outputPayloadToHeader, token.payloadText]);
  for (const { header, claim } of rule.outputClaimToHeaders) {
    const text = claimText(token.claims, claim);
    if (text !== undefined) made.push([header, text]);
  }
  return made;
}

/** What a token with these claims comes to at this rule, taken as verified, wherever it was. */
export function acceptClaims(policy: JwtPolicy, rule: JwtRule, claims: Claims): JwtResult {
  const payload = new TextEncoder().encode(JSON.stringify(claims));
  const payloadText = payload.toBase64({ alphabet: "base64url", omitPadding: true });
  return accept(policy, [{ rule, token: { claims, payloadText }, found: null }]);
}

/** Claims as rules look at them: those that are lists in one text, split. */
export function splitSpaceDelimited(claims: Claims, names: ReadonlySet<string>): Claims {
  const split = ([name, value]: [string, unknown]): [string, unknown] =>
    typeof value === "string" && names.has(name)
      ? [name, value.split(" ").filter((part) => part !== "")]
      : [name, value];
  return Object.fromEntries(Object.entries(claims).map(split));
}

/** What `can` takes for a token that was verified elsewhere. */
export function assumedClaims(claims: Claims): JwtResult {
  return { ...NO_TOKEN, claims: splitSpaceDelimited(claims, new Set(["scope", "permission"])) };
}

function isCorsPreflight(request: HttpRequest): boolean {
  if (request.method !== "OPTIONS") return false;
  const has = (name: string): boolean =>
    request.headers.some(
      (value, index) => index % 2 === 1 && value !== "" && request.headers[index - 1] === name,
    );
  return has("origin") && has("access-control-request-method");
}
