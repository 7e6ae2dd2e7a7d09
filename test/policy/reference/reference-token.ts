/** What becomes of a request's tokens, slowly: every rule looks in all its places and says what it found. */
export interface ReferenceTokenRule {
  readonly issuer: string;
  readonly audiences?: readonly string[];
  readonly fromHeaders?: readonly { readonly name: string; readonly prefix?: string }[];
  readonly fromParams?: readonly string[];
  readonly fromCookies?: readonly string[];
  readonly spaceDelimitedClaims?: readonly string[];
  readonly forwardOriginalToken?: boolean;
}

/** What everybody can see of a token that this test made: no cryptography here. */
export interface KnownToken {
  readonly text: string;
  readonly wellFormed: boolean;
  readonly claims: Readonly<Record<string, unknown>>;
  /** Whose key signed it. */
  readonly signer: string | null;
}

export type TokenOutcome =
  | { readonly code: 401 | 403 }
  | {
      readonly code: 200;
      readonly claims: Readonly<Record<string, unknown>> | null;
      /** What goes on, and what rules look at. */
      readonly headers: TokenRequest["headers"];
    };

export interface TokenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

type Finding = "missing" | "unknown" | 401 | 403 | { readonly claims: Readonly<Record<string, unknown>> };

const SKEW_SECONDS = 60;

export function referenceTokens(
  rules: readonly ReferenceTokenRule[],
  request: TokenRequest,
  known: readonly KnownToken[],
): TokenOutcome {
  const has = (name: string) => valuesOf(request, name).some((value) => value !== "");
  if (request.method === "OPTIONS" && has("origin") && has("access-control-request-method"))
    return { code: 200, claims: null, headers: request.headers };
  const sorted = rules.toSorted((a, b) => (a.issuer < b.issuer ? -1 : a.issuer > b.issuer ? 1 : 0));
  const seen: Seen = { ...request, claims: null };
  const findings: Finding[] = [];
  for (const rule of sorted) {
    const finding = findingOf(rule, seen, known);
    if (typeof finding === "object") return { code: 200, claims: finding.claims, headers: seen.headers };
    findings.push(finding);
  }
  // One rule alone is not asked again; several are, all together, of what the first time left of the request.
  const again = sorted.length > 1 ? sorted.map((rule) => findingOf(rule, seen, known)) : findings;
  // All together fail at the first that found something; of those alone the last that says more than "not mine" is told.
  const together = again.find((finding) => finding !== "missing" && typeof finding !== "object");
  const alone = findings.findLast((finding) => typeof finding === "number");
  if (typeof together === "number") return { code: together };
  if (together === "unknown") return { code: typeof alone === "number" ? alone : 401 };
  return { code: 200, claims: seen.claims, headers: seen.headers };
}

/** A request from which good tokens have been taken, and what the last of them claims. */
interface Seen extends TokenRequest {
  path: string;
  headers: TokenRequest["headers"];
  claims: Readonly<Record<string, unknown>> | null;
}

function findingOf(rule: ReferenceTokenRule, seen: Seen, known: readonly KnownToken[]): Finding {
  let last: Finding = "missing";
  for (const { text, header, param } of placesFor(rule, seen).toReversed()) {
    const token = known.find((candidate) => candidate.wellFormed && candidate.text === text);
    last = token === undefined ? 401 : judge(rule, token);
    if (typeof last !== "object") return last;
    seen.claims = last.claims;
    if (rule.forwardOriginalToken === true) continue;
    seen.headers = seen.headers.filter(([name]) => name.toLowerCase() !== header);
    if (param !== undefined) seen.path = withoutParam(seen.path, param);
  }
  return last;
}

function withoutParam(path: string, name: string): string {
  const [before, ...query] = path.split("?");
  const kept = query
    .join("?")
    .split("&")
    .filter((pair) => nameOf(pair) !== name);
  return kept.length === 0 ? `${before}` : `${before}?${kept.join("&")}`;
}

function judge(rule: ReferenceTokenRule, { claims, signer }: KnownToken): Finding {
  const { iss = "", exp, nbf, aud = [] } = claims;
  if (iss !== rule.issuer) return "unknown";
  const now = Date.now() / 1000;
  if (typeof nbf === "number" && nbf > now + SKEW_SECONDS) return 401;
  if (typeof exp === "number" && exp < now - SKEW_SECONDS) return 401;
  const meant = (Array.isArray(aud) ? aud : [aud]).map(bareAudience);
  const wanted = rule.audiences ?? [];
  if (wanted.length > 0 && !wanted.some((audience) => meant.includes(bareAudience(audience)))) return 403;
  return signer === rule.issuer ? { claims: split(claims, rule.spaceDelimitedClaims ?? []) } : 401;
}

/** Envoy compares audiences without scheme and trailing slash. */
function bareAudience(audience: unknown): string {
  return String(audience)
    .replace(/^https?:\/\//, "")
    .replace(/\/$/, "");
}

function split(claims: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  const lists = ["scope", "permission", ...names];
  return Object.fromEntries(
    Object.entries(claims).map(([name, value]) =>
      lists.includes(name) && typeof value === "string"
        ? [name, value.split(" ").filter((part) => part !== "")]
        : [name, value],
    ),
  );
}

interface Place {
  readonly text: string;
  readonly header?: string;
  readonly param?: string;
}

function placesFor(rule: ReferenceTokenRule, request: TokenRequest): Place[] {
  const { fromHeaders = [], fromParams = [], fromCookies = [] } = rule;
  const nowhere = fromHeaders.length + fromParams.length + fromCookies.length === 0;
  const headers = nowhere ? [{ name: "authorization", prefix: "Bearer " }] : fromHeaders;
  const params = nowhere ? ["access_token"] : fromParams;
  return [
    ...headers.flatMap(({ name, prefix = "" }) =>
      fromHeader(request, name.toLowerCase(), prefix).map((text) => ({ text, header: name.toLowerCase() })),
    ),
    ...params.flatMap((name) => fromParam(request.path, name).map((text) => ({ text, param: name }))),
    ...fromCookies.flatMap((name) => fromCookie(request, name).map((text) => ({ text }))),
  ];
}

function valuesOf({ headers }: TokenRequest, name: string): string[] {
  return headers.filter(([own]) => own.toLowerCase() === name).map(([, value]) => value.trim());
}

function fromHeader(request: TokenRequest, name: string, prefix: string): string[] {
  const values = valuesOf(request, name);
  const lists =
    name === "authorization" && values.length > 0 ? [values.filter((one) => one !== "").join(",")] : values;
  return lists
    .filter((value) => value.includes(prefix))
    .map((value) => value.slice(value.indexOf(prefix) + prefix.length))
    .map((text) => (prefix === "" ? text : text.replace(/^[^A-Za-z0-9_.-]+/, "")));
}

function fromParam(path: string, name: string): string[] {
  const query = path.split("?").slice(1).join("?");
  return query
    .split("&")
    .filter((pair) => nameOf(pair) === name)
    .slice(0, 1)
    .map((pair) => pair.split("=").slice(1).join("="));
}

function nameOf(pair: string): string {
  const [name = ""] = pair.split("=");
  return name.replace(/%([0-9a-f]{2})/gi, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

function fromCookie(request: TokenRequest, name: string): string[] {
  return valuesOf(request, "cookie")
    .flatMap((value) => value.split(/; */))
    .filter((pair) => pair.startsWith(`${name}=`))
    .slice(0, 1)
    .map((pair) => pair.slice(name.length + 1));
}
