/** What an authorizer's changes make of a request's headers. */

import { isToken } from "../../policy/field-syntax.ts";
import { type FieldLines, fieldLines } from "../codec/head-writer.ts";
import type { HeaderChange } from "./check-message.ts";

/** Headers in which a message is framed, or that end at this hop: nobody but the proxy sets or removes them. */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Whether an authorizer may change a header of this name (lower case). Pseudo headers and Host it may not. */
export function isChangeable(name: string): boolean {
  return isToken(name) && !FRAMING.has(name);
}

/** Whether name and value can stand in a head: what cannot is never sent, and never cut to fit either. */
export function isSound({ name, value }: Pick<HeaderChange, "name" | "value">): boolean {
  return fieldLines(name, value) !== undefined;
}

/**
 * Applies changes in their order, then removals.
 * @param headers flat: lower-case names and values by turns.
 * @returns the same array where nothing changes.
 */
export function changeHeaders(
  headers: readonly string[],
  changes: readonly HeaderChange[],
  remove: readonly string[],
): readonly string[] {
  if (changes.length === 0 && remove.length === 0) return headers;
  let changed = [...headers];
  for (const change of changes) changed = applyChange(changed, change);
  const gone = new Set(remove.map((name) => name.toLowerCase()).filter(isChangeable));
  return gone.size === 0 ? changed : without(changed, gone);
}

function applyChange(headers: string[], { name, value, action }: HeaderChange): string[] {
  const there = headers.some((text, at) => at % 2 === 0 && text === name);
  switch (action) {
    case "set":
      return replace(headers, name, value);
    case "overwrite-if-exists":
      return there ? replace(headers, name, value) : headers;
    case "add-if-absent":
      return there ? headers : [...headers, name, value];
    case "add":
      return [...headers, name, value];
    case "append":
      return there ? appendToFirst(headers, name, value) : headers;
  }
}

function replace(headers: readonly string[], name: string, value: string): string[] {
  return [...without(headers, new Set([name])), name, value];
}

/** As Envoy: of several lines of one name the first takes it. */
function appendToFirst(headers: readonly string[], name: string, value: string): string[] {
  const first = headers.findIndex((text, at) => at % 2 === 0 && text === name);
  return headers.map((text, at) => (at === first + 1 ? `${text},${value}` : text));
}

function without(headers: readonly string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_text, at) => !names.has(headers[at - (at % 2)] as string));
}

/** Values of one name, in order. */
export function valuesOf(headers: readonly string[], name: string): string[] {
  return headers.filter((_text, at) => at % 2 === 1 && headers[at - 1] === name);
}

/** What a head's writer is told so that `before` becomes `after`. */
export interface HeaderDifference {
  readonly remove: ReadonlySet<string>;
  readonly add: FieldLines;
}

/** @returns undefined where there is none. @throws {Error} "BUG: …" for headers that cannot be written. */
export function headerDifference(
  before: readonly string[],
  after: readonly string[],
  touched: Iterable<string>,
): HeaderDifference | undefined {
  const remove = new Set<string>();
  const add: string[] = [];
  for (const name of new Set(touched)) {
    const values = valuesOf(after, name);
    if (isSame(values, valuesOf(before, name))) continue;
    remove.add(name);
    for (const value of values) add.push(name, value);
  }
  if (remove.size === 0) return undefined;
  const lines = fieldLines(...add);
  if (lines === undefined) throw new Error("BUG: an authorizer's header was not checked");
  return { remove, add: lines };
}

/** An empty value is one: not the same as none. */
function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}
