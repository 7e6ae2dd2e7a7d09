import { plain } from "./style.ts";

/** Text for an element or an attribute: what XML 1.0 (2.2) has no characters for is replaced, the rest is escaped. */
export function xmlText(text: string): string {
  return plain(text.toWellFormed())
    .replaceAll(/[\uFFFE\uFFFF]/g, "\uFFFD")
    .replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
