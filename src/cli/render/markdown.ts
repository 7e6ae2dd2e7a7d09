import { plain } from "./style.ts";

/** Text as text, whatever Markdown would make of it. */
export function markdownText(text: string): string {
  return plain(text).replace(/[\\`*_{}[\]<>|#]/g, "\\$&");
}
