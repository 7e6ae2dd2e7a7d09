/** What the first proxy that reads HTTP refuses before any policy is asked: a head that is none, or that two readers could read differently. */
import { isAuthority } from "./authority.ts";
import {
  isChunked,
  isFieldValue,
  isToken,
  MAX_CONNECTION_MEMBERS,
  parseContentLength,
  trimOws,
} from "./field-syntax.ts";
import { ENVOY_AUTHORITY } from "./http1-grammar.ts";
import type { Semantics } from "./inbound.ts";
import { isAmbiguousField, isProtectedField } from "./protected-fields.ts";
import type { Verdict } from "./verdict.ts";
import { BAD_REQUEST, EXPECTATION_FAILED, UNKNOWN_TRANSFER_CODING } from "./verdict-catalogue.ts";

/** A head as a client writes it. */
export interface ClientHead {
  readonly version: 1 | 2;
  readonly authority: string;
  /** As written, Host left out. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/**
 * @returns null where it is read. `istio`: as Envoy 1.40 answered byte by byte; `strict`: as Bulwark's own parser.
 * @see RFC 9110 §5, RFC 9112 §3.2, §6
 */
export function refuseHead({ version, authority, fields }: ClientHead, semantics: Semantics): Verdict | null {
  const strict = semantics === "strict" && version === 1;
  if (strict ? !isAuthority(authority) : !isEnvoyAuthority(authority)) return BAD_REQUEST;
  const read = fields.map(([name, value]) => [name.toLowerCase(), trimOws(value)] as const);
  if (!read.every(([name, value]) => isToken(name) && isFieldValue(value))) return BAD_REQUEST;
  if (version === 2) return null;
  const valuesOf = (wanted: string): readonly string[] =>
    read.filter(([name]) => name === wanted).map(([, value]) => value);
  return (
    refuseFraming(valuesOf("transfer-encoding"), valuesOf("content-length"), strict) ??
    refuseConnection(valuesOf("connection"), strict) ??
    (strict
      ? refuseStrictly(
          read.map(([name]) => name),
          valuesOf("expect"),
        )
      : null)
  );
}

function isEnvoyAuthority(text: string): boolean {
  for (let index = 0; index < text.length; index++)
    if (ENVOY_AUTHORITY[text.charCodeAt(index)] !== 1) return false;
  return true;
}

/** A coding that is given twice is 501 to Envoy, which reads one list, and 400 to our parser. */
function refuseFraming(
  codings: readonly string[],
  lengths: readonly string[],
  strict: boolean,
): Verdict | null {
  if (lengths.length > 1 || lengths.some((length) => parseContentLength(length) === undefined))
    return BAD_REQUEST;
  const [coding, ...others] = codings;
  if (coding === undefined) return null;
  if (lengths.length > 0) return BAD_REQUEST;
  if (!isChunked(coding)) return UNKNOWN_TRANSFER_CODING;
  return others.length === 0 ? null : strict ? BAD_REQUEST : UNKNOWN_TRANSFER_CODING;
}

function refuseConnection(values: readonly string[], strict: boolean): Verdict | null {
  const members = values.flatMap((value) => value.toLowerCase().split(",")).map(trimOws);
  if (members.length > MAX_CONNECTION_MEMBERS) return BAD_REQUEST;
  const isRefused = strict
    ? (member: string) => member !== "" && (!isToken(member) || isProtectedField(member))
    : (member: string) => member === "host" || ENVOY_KEPT.has(member);
  return members.some(isRefused) ? BAD_REQUEST : null;
}

/** Envoy fails a request that would have these taken out; any other is. */
const ENVOY_KEPT: ReadonlySet<string> = new Set(["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);

function refuseStrictly(names: readonly string[], expectations: readonly string[]): Verdict | null {
  if (names.some(isAmbiguousField)) return BAD_REQUEST;
  const [expected, ...others] = expectations;
  const isKnown = expected === undefined || expected.toLowerCase() === "100-continue";
  return isKnown && others.length === 0 ? null : EXPECTATION_FAILED;
}
