/** Fields about the verified token: principal, audiences, presenter, claims. */
import type { ConditionContext, Field } from "./condition.ts";
import type { HttpRequest } from "./http-request.ts";
import type { Claims } from "./jwt/jwt-result.ts";
import { compileTextPatterns, matchesText, type TextPatterns } from "./text-pattern.ts";

/** CUSTOM comes before tokens are verified, so no claim is known to its rules, whenever they are evaluated. */
function claimsOf(request: HttpRequest | null, known: boolean): Claims | null {
  return known ? (request?.jwt?.claims ?? null) : null;
}

function areClaimsKnown(context: ConditionContext): boolean {
  return context.action !== "CUSTOM";
}

/** `request.auth.claims[a][b]`, and what is short for a claim. Strings and lists of strings match; numbers and booleans never do. */
export function claimField(path: readonly string[]): Field {
  return {
    http: true,
    compile: (values, context) => {
      const patterns = compileTextPatterns(values);
      const known = areClaimsKnown(context);
      return (_connection, request) => matchesClaim(patterns, claimAt(claimsOf(request, known), path));
    },
    seen: (_connection, request, context) => {
      const claims = claimsOf(request, areClaimsKnown(context));
      if (claims === null) return "no verified token";
      return JSON.stringify(claimAt(claims, path)) ?? "no such claim";
    },
  };
}

export const AUDIENCES: Field = claimField(["aud"]);
export const PRESENTER: Field = claimField(["azp"]);

function claimAt(claims: Claims | null, path: readonly string[]): unknown {
  let value: unknown = claims;
  for (const name of path) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, name)) return undefined;
    value = (value as Claims)[name];
  }
  return value;
}

function matchesClaim(patterns: TextPatterns, value: unknown): boolean {
  if (typeof value === "string") return matchesText(patterns, value);
  if (!Array.isArray(value)) return false;
  for (let index = 0; index < value.length; index++) {
    const entry: unknown = value[index];
    if (typeof entry === "string" && matchesText(patterns, entry)) return true;
  }
  return false;
}

interface PrincipalPattern {
  readonly issuer: TextPatterns;
  readonly subject: TextPatterns;
}

/** `requestPrincipals`, `request.auth.principal`: issuer and subject, both present. */
export const REQUEST_PRINCIPALS: Field = {
  http: true,
  compile: (values, context) => {
    const patterns = values.map(principalPattern);
    const known = areClaimsKnown(context);
    return (_connection, request) => {
      const claims = claimsOf(request, known);
      if (claims === null) return false;
      const { iss, sub } = claims;
      if (typeof iss !== "string" || typeof sub !== "string") return false;
      for (const { issuer, subject } of patterns) {
        if (matchesText(issuer, iss) && matchesText(subject, sub)) return true;
      }
      return false;
    };
  },
  seen: (_connection, request, context) => {
    const claims = claimsOf(request, areClaimsKnown(context));
    return claims === null ? "no verified token" : `${String(claims.iss)}/${String(claims.sub)}`;
  },
};

const NONE: TextPatterns = { any: false, exact: new Set(), prefixes: [], suffixes: [] };
const ANY: TextPatterns = { ...NONE, any: true };
const exactly = (text: string): TextPatterns => ({ ...NONE, exact: new Set([text]) });
const startingWith = (text: string): TextPatterns => ({ ...NONE, prefixes: [text] });
const endingWith = (text: string): TextPatterns => ({ ...NONE, suffixes: [text] });

/** Split at the last slash, since issuers are URLs: a subject that has a slash can only be matched by a wildcard. */
function principalPattern(value: string): PrincipalPattern {
  const slash = value.lastIndexOf("/");
  const issuer = slash < 0 ? value : value.slice(0, slash);
  const subject = slash < 0 ? "" : value.slice(slash + 1);
  if (value === "*") return { issuer: ANY, subject: ANY };
  if (value.startsWith("*")) {
    if (slash < 0) return { issuer: ANY, subject: endingWith(value.slice(1)) };
    return { issuer: issuer === "*" ? ANY : endingWith(issuer.slice(1)), subject: exactly(subject) };
  }
  if (value.endsWith("*")) {
    if (slash < 0) return { issuer: startingWith(value.slice(0, -1)), subject: ANY };
    return {
      issuer: exactly(issuer),
      subject: subject === "*" ? ANY : startingWith(subject.slice(0, -1)),
    };
  }
  return { issuer: exactly(issuer), subject: exactly(subject) };
}
