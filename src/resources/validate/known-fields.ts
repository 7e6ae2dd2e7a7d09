import type { FieldPath } from "../resource.ts";

/** A generated validator: reads the fields of its schema off the value and says whether it fits. */
export type Validator = (value: unknown) => void;

/** What one place of a schema knows. Learnt from the validator: see `learn`. */
interface Shape {
  readonly fields: Map<string, Shape>;
  item?: Shape;
  /** Values of a map with free keys. */
  mapValue?: Shape;
  /** Whether the validator was shown an object here, and whether a list. */
  seenObject: boolean;
  seenList: boolean;
}

export interface UnknownField {
  readonly path: FieldPath;
  readonly key: string;
  readonly known: readonly string[];
}

const PROBE = "\u0000bulwark-probe";

/**
 * Finds the fields that a schema does not know. The generated validators check types but let unknown fields pass, and no
 * schema is kept beside them. But a validator asks every object for each field that its schema has: so it is run once
 * over objects that write down what they are asked for, and what it never asks for is unknown.
 */
export class KnownFields {
  readonly #validate: Validator;
  readonly #root: Shape = newShape();

  constructor(validate: Validator) {
    this.#validate = validate;
  }

  unknownIn(body: unknown): UnknownField[] {
    const found: UnknownField[] = [];
    if (this.#walk(body, this.#root, [], found)) return found;
    this.#learn(body);
    found.length = 0;
    this.#walk(body, this.#root, [], found);
    return found;
  }

  /**
   * Every field of a mesh comes by here, so nothing is made on the way: `path` is one list, which grows and shrinks.
   * @returns false where an object was met that the validator was never shown.
   */
  #walk(value: unknown, shape: Shape, path: (string | number)[], found: UnknownField[]): boolean {
    if (typeof value !== "object" || value === null) return true;
    if (Array.isArray(value)) return this.#walkList(value, shape, path, found);
    if (!shape.seenObject) return false;
    const isFree = shape.fields.size === 0 && shape.mapValue === undefined;
    if (isFree) return true;
    let complete = true;
    for (const key in value) {
      const next = shape.fields.get(key) ?? shape.mapValue;
      if (next === undefined) {
        found.push({ path: [...path], key, known: [...shape.fields.keys()] });
        continue;
      }
      const own = (value as Record<string, unknown>)[key];
      if (typeof own !== "object") continue;
      path.push(key);
      complete = this.#walk(own, next, path, found) && complete;
      path.pop();
    }
    return complete;
  }

  #walkList(
    list: readonly unknown[],
    shape: Shape,
    path: (string | number)[],
    found: UnknownField[],
  ): boolean {
    let complete = true;
    for (let index = 0; index < list.length; index++) {
      const item = list[index];
      if (typeof item !== "object" || item === null) continue;
      if (shape.item === undefined) return shape.seenList;
      path.push(index);
      complete = this.#walk(item, shape.item, path, found) && complete;
      path.pop();
    }
    return complete;
  }

  #learn(body: unknown): void {
    try {
      this.#validate(recorded(body, this.#root));
    } catch {
      // What is wrong with the object is found by the real run; here only the questions count.
    }
    markSeen(body, this.#root);
  }
}

function newShape(): Shape {
  return { fields: new Map(), seenObject: false, seenList: false };
}

function recorded(value: unknown, shape: Shape): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    shape.item ??= newShape();
    const item = shape.item;
    return value.map((entry) => recorded(entry, item));
  }
  shape.seenObject = true;
  return new Proxy(value, {
    get: (target, key) => {
      if (typeof key === "symbol") return Reflect.get(target, key);
      if (key === PROBE) {
        shape.mapValue ??= newShape();
        return undefined;
      }
      const own = Object.hasOwn(target, key) ? Reflect.get(target, key) : undefined;
      if (shape.mapValue !== undefined) return recorded(own, shape.mapValue);
      let next = shape.fields.get(key);
      if (next === undefined) {
        next = newShape();
        shape.fields.set(key, next);
      }
      return recorded(own, next);
    },
    // A validator that walks over all keys of a map meets this one first; one that only counts keys never reads it.
    ownKeys: (target) => [PROBE, ...Reflect.ownKeys(target)],
    getOwnPropertyDescriptor: (target, key) =>
      key === PROBE
        ? { value: undefined, enumerable: true, configurable: true, writable: true }
        : Reflect.getOwnPropertyDescriptor(target, key),
  });
}

/** What the validator did not look into although it was there has no schema: anything may stand there. */
function markSeen(value: unknown, shape: Shape): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    shape.seenList = true;
    shape.item ??= newShape();
    for (const item of value) markSeen(item, shape.item);
    return;
  }
  shape.seenObject = true;
  for (const key in value) {
    const next = shape.fields.get(key) ?? shape.mapValue;
    if (next !== undefined) markSeen((value as Record<string, unknown>)[key], next);
  }
}
