import { suggestion } from "../did-you-mean.ts";
import { type Field, pathText, quoted } from "./field.ts";

export function unknownField(field: Field, key: string, known: readonly string[]): void {
  const parent = pathText(field.path.slice(0, -1));
  const meant = suggestion(key, known);
  field.errorAtKey(
    "BW1101_UNKNOWN_FIELD",
    `unknown field ${quoted(key)}${parent === "" ? "" : ` in \`${parent}\``}`,
    meant === "" ? fieldsHelp(known) : meant,
  );
}

function fieldsHelp(known: readonly string[]): string {
  const names = [...known].sort();
  if (names.length === 0) return "remove it";
  return names.length <= 16
    ? `the fields here are: ${names.join(", ")}`
    : "remove it; `kubectl explain` lists the fields";
}

export function wrongType(field: Field, wanted: string): void {
  field.error(
    "BW1102_WRONG_TYPE",
    `\`${field.name}\` must be ${article(wanted)}, but it is ${described(field.value)}`,
    typeof field.value === "object" ? undefined : HOW_TO_WRITE[wanted],
  );
}

/** For what is written as one plain value. */
const HOW_TO_WRITE: Readonly<Record<string, string>> = {
  string: "put it in quotes",
  array: "put it in brackets: `[…]`",
};

function article(type: string): string {
  return (
    { object: "a map", array: "a list", integer: "a whole number", boolean: "true or false" }[type] ??
    `a ${type}`
  );
}

function described(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return `the ${typeof value} ${quoted(value)}`;
}

export function missing(parent: Field, key: string): void {
  const field = parent.at(key);
  field.error("BW1104_MISSING_FIELD", `\`${field.name}\` is required`, `add \`${key}:\``);
}
