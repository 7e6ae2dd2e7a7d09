/** Words that all parts of a difference are told in. */
import type { Cause } from "../../analysis/diff/causes.ts";
import type { Saying } from "../../analysis/space/describe.ts";
import { plain } from "./style.ts";

const SHOWN_NAMES = 5;

export function names(all: readonly string[]): string {
  const shown = all.slice(0, SHOWN_NAMES).join(", ");
  return all.length > SHOWN_NAMES ? `${shown} and ${all.length - SHOWN_NAMES} more` : shown;
}

export function causeText({ resource, change, span, what }: Cause): string {
  const part = what === undefined ? "" : `: ${what}`;
  return `${resource} was ${change} (${span.file}:${span.line})${part}`;
}

export function sayingsText(requests: readonly Saying[]): string {
  return requests.map(({ title, text }) => `${title}: ${text}`).join("; ");
}

/** Names and patterns are text, whatever Markdown would make of them. */
export function escaped(text: string): string {
  return plain(text).replace(/[\\`*_{}[\]<>|#]/g, "\\$&");
}
