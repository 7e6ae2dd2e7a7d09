import { checkDuration } from "./duration.ts";
import type { Field } from "./field.ts";
import type { FieldType } from "./newer-fields.ts";
import { missing, unknownField, wrongType } from "./schema-problems.ts";

/** Checks a field against a type of the hand-kept table. */
export function checkType(field: Field, type: FieldType): void {
  if (!field.present || type === "free") return;
  if (typeof type === "string") checkScalar(field, type);
  else if ("oneOf" in type) {
    if (!type.oneOf.includes(field.text)) {
      field.error("BW1103_NOT_ONE_OF", `\`${field.name}\` must be one of ${type.oneOf.join(", ")}`);
    }
  } else if ("list" in type) {
    if (!Array.isArray(field.value)) wrongType(field, "array");
    for (const item of field.items()) checkItem(item, type.list);
  } else checkMap(field, type);
}

function checkMap(field: Field, type: Extract<FieldType, { map: FieldType } | { fields: object }>): void {
  if (typeof field.value !== "object" || Array.isArray(field.value)) wrongType(field, "object");
  else if ("map" in type) {
    for (const [, value] of field.entries()) checkItem(value, type.map);
  } else checkFields(field, type);
}

function checkFields(field: Field, type: Extract<FieldType, { fields: object }>): void {
  for (const key of type.required ?? []) if (!field.at(key).present) missing(field, key);
  for (const [key, value] of field.entries()) {
    const next = Object.hasOwn(type.fields, key) ? type.fields[key] : undefined;
    if (next === undefined) unknownField(value, key, Object.keys(type.fields));
    else checkType(value, next);
  }
}

/** Where an item stands something must stand. */
function checkItem(item: Field, type: FieldType): void {
  if (item.present || type === "free") checkType(item, type);
  else wrongType(item, typeof type === "string" ? type : "list" in type ? "array" : "object");
}

function checkScalar(field: Field, type: "string" | "boolean" | "integer" | "duration" | "free"): void {
  if (type === "duration") {
    if (typeof field.value !== "string") wrongType(field, "string");
    else checkDuration(field);
    return;
  }
  const fits = type === "integer" ? Number.isInteger(field.value) : typeof field.value === type;
  if (!fits) wrongType(field, type);
}
