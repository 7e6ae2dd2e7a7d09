import type { FieldPath } from "../resource.ts";

export interface FieldProblem {
  readonly code: string;
  readonly severity: "error" | "warning";
  readonly path: FieldPath;
  /** Points at the key instead of the value. */
  readonly atKey: boolean;
  readonly message: string;
  readonly help?: string;
}

export type ReportProblem = (problem: FieldProblem) => void;

/**
 * A place in an object, with what stands there. Reading never fails: what is absent or of another type reads as empty,
 * as Go's generated types do, so that checks can be written without regard to earlier errors.
 */
export class Field {
  readonly value: unknown;
  /** From the parent on: few fields are ever named, so their paths are put together only then. */
  readonly #steps: FieldPath;
  readonly #parent: Field | undefined;
  readonly #report: ReportProblem;

  constructor(value: unknown, path: FieldPath, report: ReportProblem, parent?: Field) {
    this.value = value;
    this.#steps = path;
    this.#parent = parent;
    this.#report = report;
  }

  get path(): FieldPath {
    return this.#parent === undefined ? this.#steps : [...this.#parent.path, ...this.#steps];
  }

  at(...keys: readonly (string | number)[]): Field {
    let value = this.value;
    for (const key of keys) {
      const isParent = typeof value === "object" && value !== null && Object.hasOwn(value, key);
      value = isParent ? (value as Record<string | number, unknown>)[key] : undefined;
    }
    return new Field(value, keys, this.#report, this);
  }

  /** The same place with another value: what its text means. */
  within(value: unknown): Field {
    return new Field(value, this.#steps, this.#report, this.#parent);
  }

  /** Whether anything is written there: CEL's `has()`. */
  get present(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  get text(): string {
    return typeof this.value === "string" ? this.value : "";
  }

  get number(): number {
    if (typeof this.value === "number") return this.value;
    // Protobuf's JSON takes quoted numbers.
    return typeof this.value === "string" && this.value.trim() !== "" ? Number(this.value) : 0;
  }

  get isTrue(): boolean {
    return this.value === true;
  }

  /** Items of a list, or keys of a map. */
  get size(): number {
    if (Array.isArray(this.value)) return this.value.length;
    return typeof this.value === "object" && this.value !== null ? Object.keys(this.value).length : 0;
  }

  items(): Field[] {
    return Array.isArray(this.value) ? this.value.map((_, index) => this.at(index)) : [];
  }

  entries(): (readonly [string, Field])[] {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) return [];
    return Object.keys(this.value).map((key) => [key, this.at(key)] as const);
  }

  /** The items that are strings. */
  texts(): string[] {
    return this.items().map((item) => item.text);
  }

  /** `spec.rules[0].to` */
  get name(): string {
    return pathText(this.path);
  }

  error(code: string, message: string, help?: string): void {
    this.#problem("error", code, message, help, false);
  }

  errorAtKey(code: string, message: string, help?: string): void {
    this.#problem("error", code, message, help, true);
  }

  warning(code: string, message: string, help?: string): void {
    this.#problem("warning", code, message, help, false);
  }

  #problem(
    severity: "error" | "warning",
    code: string,
    message: string,
    help: string | undefined,
    atKey: boolean,
  ): void {
    this.#report({
      code,
      severity,
      path: this.path,
      atKey,
      message,
      ...(help === undefined ? {} : { help }),
    });
  }
}

export function pathText(path: FieldPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[\w-]+$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `["${step}"]`;
  }
  return text;
}

/** User input as it stands in messages: in backticks, never too long. */
export function quoted(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing");
  const line = text.replaceAll(/[\r\n\t]+/g, " ");
  return `\`${line.length > 80 ? `${line.slice(0, 79)}…` : line}\``;
}
