import { isPathTemplate, matchesPathTemplate, parsePathTemplate } from "../../../src/policy/path-template.ts";
import { type FuzzTarget, law } from "../target.ts";

/** Characters of a segment, as in Envoy's grammar of URI templates. */
const SEGMENT = String.raw`[a-zA-Z0-9\-._~%!$&'()+,;:@=]`;

/** `template LF path`, beside a regular expression made of the template. */
export const templateTarget: FuzzTarget = {
  name: "template",
  about: "path templates and paths: matches what a regular expression made of the template matches",
  open: async () => ({
    seeds: [
      "/a/{*}/b\n/a/x/b",
      "/{**}\n/a/b",
      "/a/{*}/{**}/z\n/a/b/c/z",
      "/{*}.html\n/x.html",
      "/a/*/b/**\n/a/1/b/",
    ].map((text) => Buffer.from(text, "latin1")),
    words: ["{*}", "{**}", "*", "**", "/", "//", "\n", "a", "%2f", "[", "\\", "{", "}", "."].map((word) =>
      Buffer.from(word),
    ),
    maxInputBytes: 8 * 1024,
    check: (input) => {
      const text = input.toString("latin1");
      const end = text.indexOf("\n");
      return end < 0 ? checkPair(text, "/") : checkPair(text.slice(0, end), text.slice(end + 1));
    },
  }),
};

function checkPair(value: string, path: string): string {
  const template = parsePathTemplate(value);
  const pattern = referencePattern(value);
  law((template === undefined) === (pattern === undefined), "a template is one for both", () =>
    JSON.stringify(value),
  );
  if (template === undefined || pattern === undefined) return `no template ${isPathTemplate(value)}`;
  const matches = matchesPathTemplate(template, path);
  // A pattern with many stars backtracks: that is why it is not used.
  if ((value.match(/\*/g) ?? []).length > 4 || path.length > 300) return `long ${matches}`;
  law(matches === pattern.test(path), "a template matches what its pattern matches", () =>
    JSON.stringify({ value, path, matches }),
  );
  return `matches ${matches} ${template.tail === null}`;
}

/** Stars are greedy and give nothing back, as in the templates: an operator is followed by what cannot be a part of it, or by nothing. */
function referencePattern(value: string): RegExp | undefined {
  const parts: string[] =
    value
      .replaceAll("{**}", "**")
      .replaceAll("{*}", "*")
      .match(/\*\*|\*|[^*]+/g) ?? [];
  const several = parts.indexOf("**");
  if (!value.startsWith("/") || value.includes("//")) return undefined;
  if (several >= 0 && parts.slice(several + 1).some((part) => part.startsWith("*"))) return undefined;
  const literals = parts.filter((part) => !part.startsWith("*"));
  if (!literals.every((part) => new RegExp(`^(?:${SEGMENT}|/)*$`).test(part))) return undefined;
  const source = parts.map((part) =>
    part === "**" ? `(?:${SEGMENT}|/)*` : part === "*" ? `(?=(${SEGMENT}+))\\${"N"}` : RegExp.escape(part),
  );
  let group = 0;
  return new RegExp(`^${source.join("").replaceAll("\\N", () => `\\${++group}(?:)`)}$`);
}
