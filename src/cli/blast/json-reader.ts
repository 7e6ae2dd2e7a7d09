/** Reads the fields of JSON that somebody else may have written; whatever is not as it has to be is named by its path. */
import { isObject } from "../../resources/read-objects.ts";

export class NotAsExpected extends Error {}

export class JsonReader {
  readonly #value: unknown;
  /** `report.reaches[3].to` */
  readonly #path: string;

  constructor(value: unknown, path = "") {
    this.#value = value;
    this.#path = path;
  }

  /** @throws {NotAsExpected} as all of these do. */
  at(name: string): JsonReader {
    const path = this.#path === "" ? name : `${this.#path}.${name}`;
    if (!isObject(this.#value)) throw this.#wrong("an object");
    return new JsonReader(Object.hasOwn(this.#value, name) ? this.#value[name] : undefined, path);
  }

  get isAbsent(): boolean {
    return this.#value === undefined;
  }

  get isNull(): boolean {
    return this.#value === null;
  }

  isText(text: string): boolean {
    return this.#value === text;
  }

  text(): string {
    if (typeof this.#value !== "string") throw this.#wrong("a text");
    return this.#value;
  }

  textOrNull(): string | null {
    return this.isNull ? null : this.text();
  }

  oneOf<T extends string>(known: readonly T[]): T {
    const found = known.find((one) => one === this.#value);
    if (found === undefined) throw this.#wrong(`one of ${known.join(", ")}`);
    return found;
  }

  /** From 0 on. */
  count(): number {
    if (!Number.isSafeInteger(this.#value) || Number(this.#value) < 0) throw this.#wrong("a count");
    return Number(this.#value);
  }

  number(): number {
    if (typeof this.#value !== "number" || !Number.isFinite(this.#value)) throw this.#wrong("a number");
    return this.#value;
  }

  object(): Readonly<Record<string, unknown>> {
    if (!isObject(this.#value)) throw this.#wrong("an object");
    return this.#value;
  }

  list<T>(read: (entry: JsonReader) => T): readonly T[] {
    if (!Array.isArray(this.#value)) throw this.#wrong("a list");
    return this.#value.map((entry, at) => read(new JsonReader(entry, `${this.#path}[${at}]`)));
  }

  texts(): readonly string[] {
    return this.list((entry) => entry.text());
  }

  #wrong(expected: string): NotAsExpected {
    const where = this.#path === "" ? "it" : `\`${this.#path}\``;
    return new NotAsExpected(
      this.#value === undefined ? `${where} is missing` : `${where} is not ${expected}`,
    );
  }
}
