/** Istio's strings (`exact`, `prefix*`, `*suffix`, `*`) as Envoy's matchers. */
import type { EnvoyObject } from "./envoy-object.ts";

/** `type.matcher.v3.StringMatcher`. A bare star wants at least one character. */
export function stringMatcher(value: string): EnvoyObject {
  if (value === "*") return regexMatcher(".+");
  if (value.startsWith("*")) return { suffix: value.slice(1) };
  if (value.endsWith("*")) return { prefix: value.slice(0, -1) };
  return { exact: value };
}

/** As stringMatcher, for texts that all begin with `scheme`, which the value leaves out; a bare star still matches anything. */
export function schemeMatcher(scheme: string, value: string): EnvoyObject {
  if (value === "*") return regexMatcher(".+");
  if (value.startsWith("*")) return regexMatcher(`${scheme}.*${quoteRegex(value.slice(1))}`);
  if (value.endsWith("*")) return { prefix: scheme + value.slice(0, -1) };
  return { exact: scheme + value };
}

/** RE2, and over the whole text. */
export function regexMatcher(regex: string): EnvoyObject {
  return { safe_regex: { regex } };
}

/** `config.route.v3.HeaderMatcher`. A bare star wants the header, even an empty one. */
export function headerMatcher(name: string, value: string, options: { readonly ignoreCase?: boolean } = {}) {
  if (value === "*") return { name, present_match: true };
  const { ignoreCase = false } = options;
  return {
    name,
    string_match: ignoreCase ? { ...stringMatcher(value), ignore_case: true } : stringMatcher(value),
  };
}

/** A literal as a regular expression. */
export function quoteRegex(literal: string): string {
  return literal.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}
