import { suggestion } from "../did-you-mean.ts";
import type { Json } from "../read-objects.ts";
import type { FieldPath } from "../resource.ts";
import { BULWARK_KINDS } from "./access-invariant.ts";
import { Field, pathText, quoted, type ReportProblem } from "./field.ts";
import { checkType } from "./field-type.ts";
import { COMMON_KINDS, type GeneratedValidator, lookUpKind } from "./kinds.ts";
import { KnownFields } from "./known-fields.ts";
import { NEWER_FIELDS, NEWER_KINDS, NEWER_VALUES } from "./newer-fields.ts";
import { POLICY_CRDS } from "./policy-crds.ts";
import { missing, unknownField, wrongType } from "./schema-problems.ts";

interface SchemaError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}

const knownFields = new WeakMap<GeneratedValidator, KnownFields>();

/**
 * Checks types, required fields, bounds and unknown fields, as the API server does with strict field validation.
 * @param written the object with its fields that are null: an unknown field is one whatever its value.
 */
export async function checkSchema(body: Json, written: Json, report: ReportProblem): Promise<void> {
  const apiVersion = String(body.apiVersion);
  const kind = String(body.kind);
  const root = new Field(body, [], report);
  const lookup = await lookUpKind(apiVersion, kind);
  if (!lookup.known) {
    unknownKind(root, apiVersion, kind);
    return;
  }
  const own = `${apiVersion}/${kind}`;
  const newer = NEWER_KINDS[own] ?? POLICY_CRDS[own] ?? BULWARK_KINDS[own];
  if (newer !== undefined && root.at("spec").present) checkType(root.at("spec"), newer);
  else if (newer !== undefined && !(own in NEWER_KINDS)) missing(root, "spec");
  if (lookup.validate === undefined) return;
  checkKnownFields(written, kind, lookup.validate, new Field(written, [], report));
  try {
    lookup.validate(body);
  } catch (error) {
    for (const problem of joined(schemaErrors(error))) {
      if (!isInStatus(problem.instancePath)) reportSchemaError(problem, body, kind, root);
    }
  }
}

function unknownKind(root: Field, apiVersion: string, kind: string): void {
  const right = Object.hasOwn(COMMON_KINDS, kind) ? COMMON_KINDS[kind] : undefined;
  const meant = suggestion(kind, Object.keys(COMMON_KINDS));
  const field = root.at(right === undefined ? "kind" : "apiVersion");
  field.error(
    "BW1108_UNKNOWN_KIND",
    `there is no ${quoted(kind)} in ${quoted(apiVersion)}`,
    right !== undefined
      ? `write \`apiVersion: ${right}\``
      : meant === ""
        ? "check `apiVersion` and `kind`"
        : meant,
  );
}

function checkKnownFields(body: Json, kind: string, validate: GeneratedValidator, root: Field): void {
  let known = knownFields.get(validate);
  if (known === undefined) {
    known = new KnownFields(validate);
    knownFields.set(validate, known);
  }
  for (const unknown of known.unknownIn(body)) {
    if (isLostByGenerator(unknown.key) || (unknown.path[0] ?? unknown.key) === STATUS) continue;
    const newer = NEWER_FIELDS[kind]?.[patternOf(unknown.path)];
    const field = root.at(...unknown.path, unknown.key);
    const type = newer !== undefined && Object.hasOwn(newer, unknown.key) ? newer[unknown.key] : undefined;
    if (type !== undefined) checkType(field, type);
    else unknownField(field, unknown.key, [...unknown.known, ...Object.keys(newer ?? {})]);
  }
}

/** Controllers write it, people do not: the API server drops what is applied there. */
const STATUS = "status";

function isInStatus(instancePath: string): boolean {
  return instancePath === `/${STATUS}` || instancePath.startsWith(`/${STATUS}/`);
}

/** The generator of the Kubernetes package takes these fields of kinds for annotations of schemas, and drops them. */
function isLostByGenerator(key: string): boolean {
  return key === "description" || key.startsWith("x-kubernetes-");
}

/** `spec.rules[].from[].source` */
function patternOf(path: FieldPath): string {
  return pathText(path).replaceAll(/\[\d+\]/g, "[]");
}

function schemaErrors(error: unknown): readonly SchemaError[] {
  const errors = typeof error === "object" && error !== null && "errors" in error ? error.errors : undefined;
  if (!Array.isArray(errors)) throw error;
  return errors as SchemaError[];
}

const COMPOSED: ReadonlySet<string> = new Set(["oneOf", "anyOf", "not", "required", "type"]);

/** A choice that fails brings the failures of every branch along; only the choice itself is for people. */
function joined(errors: readonly SchemaError[]): SchemaError[] {
  const choices = new Set(
    errors.filter(({ keyword }) => keyword === "oneOf" || keyword === "anyOf").map((e) => e.instancePath),
  );
  const kept: SchemaError[] = [];
  const seen = new Set<string>();
  for (const error of errors) {
    const isBranch = choices.has(error.instancePath) && COMPOSED.has(error.keyword);
    const key = isBranch
      ? error.instancePath
      : `${error.instancePath} ${error.keyword} ${JSON.stringify(error.params)}`;
    if (seen.has(key)) continue;
    seen.add(key);
    kept.push(isBranch ? choiceOf(errors, error.instancePath) : error);
  }
  return kept;
}

function choiceOf(errors: readonly SchemaError[], instancePath: string): SchemaError {
  const here = errors.filter((error) => error.instancePath === instancePath);
  const types = here.filter(({ keyword }) => keyword === "type").map(({ params }) => String(params.type));
  const fields = here
    .filter(({ keyword }) => keyword === "required")
    .map(({ params }) => params.missingProperty);
  return { instancePath, keyword: "oneOf", params: { types, fields } };
}

function reportSchemaError(error: SchemaError, body: Json, kind: string, root: Field): void {
  const path = fieldPath(error.instancePath, body);
  const field = root.at(...path);
  const { params } = error;
  switch (error.keyword) {
    case "enum":
      notOneOf(field, params.allowedValues, NEWER_VALUES[kind]?.[patternOf(path)]);
      break;
    case "type":
      wrongType(field, String(params.type));
      break;
    case "required":
      missing(field, String(params.missingProperty));
      break;
    case "oneOf":
    case "anyOf":
    case "not":
      choice(field, params);
      break;
    case "pattern":
    case "format":
      field.error(
        "BW1106_BAD_FORMAT",
        `\`${field.name}\` is ${quoted(field.value)}, which is not of the form ${String(params.pattern ?? params.format)}`,
      );
      break;
    default:
      outOfBounds(field, error);
      break;
  }
}

function outOfBounds(field: Field, { keyword, params, message }: SchemaError): void {
  const isEmpty = keyword.startsWith("min") && params.limit === 1 && typeof field.value !== "number";
  if (isEmpty)
    field.error(
      "BW1105_OUT_OF_BOUNDS",
      `\`${field.name}\` must not be empty`,
      "give it a value, or remove it",
    );
  else
    field.error(
      "BW1105_OUT_OF_BOUNDS",
      `\`${field.name}\` ${message ?? `does not meet ${keyword}`}`,
      "see the reference of this field for its limits",
    );
}

function notOneOf(field: Field, allowed: unknown, newer: readonly string[] = []): void {
  if (newer.includes(field.text)) return;
  const values = [...(Array.isArray(allowed) ? allowed.map(String) : []), ...newer];
  const meant = suggestion(field.text, values);
  field.error(
    "BW1103_NOT_ONE_OF",
    `\`${field.name}\` is ${quoted(field.value)}; it must be one of ${values.join(", ")}`,
    meant === "" ? undefined : meant,
  );
}

function choice(field: Field, params: Readonly<Record<string, unknown>>): void {
  const types = Array.isArray(params.types) ? params.types : [];
  const written = field.entries().map(([key]) => `\`${key}\``);
  if (types.length > 0 && written.length === 0) {
    wrongType(field, types.join(" or "));
    return;
  }
  if (written.length === 0) {
    field.error("BW1107_ONE_OF", `\`${field.name}\` sets none of the fields of which it needs one`);
    return;
  }
  field.error(
    "BW1107_ONE_OF",
    `\`${field.name}\` sets fields that exclude one another: ${written.join(", ")}`,
    "keep one of them",
  );
}

/** A JSON pointer, walked through the object so that indices are told from keys. */
function fieldPath(pointer: string, body: Json): FieldPath {
  const path: (string | number)[] = [];
  let value: unknown = body;
  for (const raw of pointer.split("/").slice(1)) {
    const step = raw.replaceAll("~1", "/").replaceAll("~0", "~");
    const key = Array.isArray(value) ? Number(step) : step;
    path.push(key);
    value =
      typeof value === "object" && value !== null
        ? (value as Record<string | number, unknown>)[key]
        : undefined;
  }
  return path;
}
