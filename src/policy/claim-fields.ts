/** Fields about the verified token: principal, audiences, presenter, claims. */
import type { ConditionContext, Field } from "./condition.ts";
import type { HttpRequest } from "./http-request.ts";
import type { Claims } from "./jwt/jwt-result.ts";
import { oneText, type TextDimension } from "./rule-index/dimension.ts";
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
    keys: (values, context) =>
      areClaimsKnown(context)
        ? { dimension: claimDimension(path), patterns: compileTextPatterns(values), decisive: false }
        : null,
  };
}

/** A claim's text, or those of its list: the cursor is their place in it. */
function claimDimension(path: readonly string[]): TextDimension {
  const read = (request: HttpRequest | null): unknown => claimAt(claimsOf(request, true), path);
  return {
    kind: "text",
    id: `claim ${JSON.stringify(path)}`,
    repeats: true,
    next: (_connection, request, after) => {
      const value = read(request);
      if (typeof value === "string") return after < 0 ? 0 : -1;
      if (!Array.isArray(value)) return -1;
      for (let index = after + 1; index < value.length; index++) {
        if (typeof value[index] === "string") return index;
      }
      return -1;
    },
    textAt: (_connection, request, cursor) => {
      const value = read(request);
      const text: unknown = Array.isArray(value) ? value[cursor] : value;
      return typeof text === "string" ? text : "";
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
  keys: (values, context) => {
    if (!areClaimsKnown(context)) return null;
    const subjects = values.map((value) => principalPattern(value).subject);
    return { dimension: TOKEN_SUBJECT, patterns: allOf(subjects), decisive: false };
  },
};

const TOKEN_SUBJECT: TextDimension = oneText("token subject", (_connection, request) => {
  const subject = claimsOf(request, true)?.sub;
  return typeof subject === "string" ? subject : null;
});

function allOf(patterns: readonly TextPatterns[]): TextPatterns {
  return {
    any: patterns.some(({ any }) => any),
    exact: new Set(patterns.flatMap(({ exact }) => [...exact])),
    prefixes: patterns.flatMap(({ prefixes }) => prefixes),
    suffixes: patterns.flatMap(({ suffixes }) => suffixes),
  };
}

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
