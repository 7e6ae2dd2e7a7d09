import { RE2JS } from "re2js";
import { type Field, quoted } from "./field.ts";

/** Istio bounds the text, because Envoy's own bound on the compiled program cannot be checked beforehand. */
const MAX_REGEX_LENGTH = 1024;

/** `exact`, `prefix` or `regex`; an empty prefix would match everything. */
export function checkStringMatch(match: Field, options: { readonly emptyPrefix?: boolean } = {}): void {
  const prefix = match.at("prefix");
  if (prefix.value === "" && options.emptyPrefix !== true) {
    prefix.error(
      "BW1224_STRING_MATCH",
      `\`${prefix.name}\` is empty`,
      "leave the match out to match everything",
    );
  }
  const regex = match.at("regex");
  if (!regex.present) return;
  if (regex.text === "")
    regex.error("BW1224_STRING_MATCH", `\`${regex.name}\` is empty`, "leave the match out");
  else checkRegex(regex);
}

/** A regular expression of RE2: no back-references, no look-around, linear time. */
export function checkRegex(regex: Field): void {
  if (Buffer.byteLength(regex.text) > MAX_REGEX_LENGTH) {
    regex.error("BW1224_STRING_MATCH", `\`${regex.name}\` is longer than ${MAX_REGEX_LENGTH} bytes`);
    return;
  }
  try {
    RE2JS.compile(regex.text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "";
    regex.error(
      "BW1224_STRING_MATCH",
      `\`${regex.name}\` is ${quoted(regex.text)}, which is no regular expression of RE2 (${reason})`,
      "RE2 knows no look-around and no back-references: https://github.com/google/re2/wiki/Syntax",
    );
  }
}
