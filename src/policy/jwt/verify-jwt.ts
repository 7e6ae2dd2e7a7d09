/**
 * Verifies the tokens of a request. The order of checks and what outweighs what are those of Envoy's jwt_authn filter as Istio
 * configures it: any of the rules, or all of them with "no token" allowed.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/jwt_authn_filter
 */
import type { FlatHeaders, HttpRequest } from "../http-request.ts";
import { joinedField } from "../joined-field.ts";
import type { Verdict } from "../verdict.ts";
import { isAudienceAllowed } from "./audience.ts";
import { claimText } from "./claim-text.ts";
import { extractTokens, type FoundToken, withoutParameters } from "./extract-token.ts";
import type { FetchJwks, JwtPolicy, JwtRefusals, JwtRule, RefetchJwks } from "./jwt-policy.ts";
import { type Claims, type JwtResult, NO_TOKEN, withoutFields } from "./jwt-result.ts";
import { type KeySet, KeySets } from "./key-set.ts";
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
type RuleOutcome = "missing" | "valid" | RefusedOutcome;
type RefusedOutcome = Exclude<keyof JwtRefusals, "required">;

/** A token that was found good, and what it comes to. */
interface GoodToken {
  readonly rule: JwtRule;
  readonly token: Pick<UnverifiedToken, "claims" | "payloadText">;
  readonly found: Omit<FoundToken, "text">;
}

/** A request while its tokens are looked at: good ones that are not to go on are taken out at once, and nobody finds them again. */
interface Search {
  readonly method: string;
  path: string;
  headers: FlatHeaders;
  readonly good: GoodToken[];
}

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
    if (outcome === "valid") return accept(policy, search.good);
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
  const told = toldRefusal(policy, left, outcomes);
  if (told !== undefined) return refuse(told);
  const required = policy.rules.find((candidate, at) => candidate.required && left[at] !== "valid");
  return required === undefined ? accept(policy, search.good) : refuse(required.refusals.required);
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
 * Of several rules that refuse, what is told; undefined for none. Envoy asks for any of the rules, or else for all of them: the first
 * that finds a token refuses the latter, and is told, unless it merely does not know the issuer; then the last that alone said more.
 */
function toldRefusal(
  { rules }: JwtPolicy,
  together: readonly RuleOutcome[],
  alone: readonly RuleOutcome[],
): Verdict | undefined {
  const refusalsOf = (outcomes: readonly RuleOutcome[]): readonly Verdict[] =>
    rules.flatMap(({ refusals }, at) => {
      const outcome = outcomes[at];
      return outcome === undefined || outcome === "missing" || outcome === "valid" ? [] : refusals[outcome];
    });
  const [first] = refusalsOf(together);
  if (first?.cause !== "jwt-unknown-issuer") return first;
  return refusalsOf(alone).findLast(({ cause }) => cause !== "jwt-unknown-issuer") ?? first;
}

function refuse(refusal: Verdict): JwtResult {
  return { ...NO_TOKEN, refusal };
}

/** All tokens that the rule finds must be good: a backend might read the bad one. */
async function verifyRule(rule: JwtRule, search: Search, environment: JwtEnvironment): Promise<RuleOutcome> {
  const tokens = extractTokens(rule.locations, search);
  for (const found of tokens.toReversed()) {
    const token = parseToken(found.text);
    if (token === undefined) return "invalid";
    const outcome = await verifyToken(rule, token, environment);
    if (outcome !== "valid") return outcome;
    search.good.push({ rule, token, found });
    if (!rule.forward) takeOut(search, found);
  }
  return tokens.length === 0 ? "missing" : "valid";
}

function takeOut(search: Search, { headers, params }: FoundToken): void {
  search.headers = withoutFields(search.headers, headers);
  search.path = withoutParameters(search.path, params);
}

async function verifyToken(
  rule: JwtRule,
  token: UnverifiedToken,
  environment: JwtEnvironment,
): Promise<RuleOutcome> {
  if (rule.issuer !== "" && token.issuer !== rule.issuer) return "unknownIssuer";
  const now = environment.nowSeconds();
  if (now + CLOCK_SKEW_SECONDS < token.notBefore) return "invalid";
  if (now > token.expires + CLOCK_SKEW_SECONDS) return "invalid";
  if (!isAudienceAllowed(rule.audiences, token.audiences)) return "wrongAudience";
  const keys = await keysOf(rule, environment);
  if (keys === undefined) return "noKeys";
  return (await isSigned(rule, token, keys, environment)) ? "valid" : "invalid";
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
  return document !== undefined && (await KEY_SETS.of(document).verifies(token));
}

const KEY_SETS = new KeySets(256);

async function keysOf(rule: JwtRule, environment: JwtEnvironment): Promise<KeySet | undefined> {
  if (rule.jwks !== null) return KEY_SETS.of(rule.jwks);
  if (rule.keySource === null) return undefined;
  try {
    return KEY_SETS.of(await environment.fetchJwks(rule.keySource));
  } catch {
    return undefined;
  }
}

/** @param good in the order in which they were verified: the last one's claims count. */
function accept(policy: JwtPolicy, good: readonly GoodToken[]): JwtResult {
  const last = good.at(-1);
  if (last === undefined) return policy.noToken;
  const spent = good.flatMap(({ rule, found }) => (rule.forward ? [] : found));
  return {
    refusal: null,
    claims: splitSpaceDelimited(last.token.claims, last.rule.spaceDelimitedClaims),
    setHeaders: [...new Map(good.flatMap(headersOf))],
    removeHeaders: [...new Set([...spent.flatMap(({ headers }) => headers), ...policy.outputs])],
    removeParams: [...new Set(spent.flatMap(({ params }) => params))],
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
  return accept(policy, [{ rule, token: { claims, payloadText }, found: { headers: [], params: [] } }]);
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
  const has = (name: string): boolean => (joinedField(request.headers, name) ?? "") !== "";
  return has("origin") && has("access-control-request-method");
}
