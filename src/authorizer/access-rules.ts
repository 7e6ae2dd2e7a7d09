/** What `bulwark authorizer` decides by, once it has been read: docs/external-authorization.md describes the file. */
import type { TimeWindow } from "./time-window.ts";

/** A JSON value of the context. */
export type ContextValue =
  | null
  | boolean
  | number
  | string
  | readonly ContextValue[]
  | { readonly [name: string]: ContextValue };

/** The live context: tables by name, in each an entry for a key. */
export type Context = Readonly<Record<string, Readonly<Record<string, ContextValue>>>>;

/** By what a request says who or what it is about. A principal cannot be forged; a header is worth what sets it. */
export type KeySource =
  | { readonly kind: "principal" | "ip" }
  | { readonly kind: "header"; readonly header: string };

/** Something that rules are about: the entry of a table under the key that the request gives. */
export interface Subject {
  readonly name: string;
  readonly table: string;
  readonly key: KeySource;
}

/** A place to read a value from: `device.healthy`, `request.path`, `request.headers.x-a`. */
export interface ValuePath {
  readonly text: string;
  /** A subject's name, `request`, `source` or `destination`. */
  readonly root: string;
  readonly fields: readonly string[];
}

/** INVARIANT: none of them holds for a value that is not there, or of another type; `isNot` and `not…` neither. */
export type Condition =
  | { readonly kind: "is" | "isNot"; readonly value: ValuePath; readonly expected: readonly ContextValue[] }
  | { readonly kind: "below" | "above"; readonly value: ValuePath; readonly limit: number }
  | { readonly kind: "contains"; readonly value: ValuePath; readonly expected: readonly ContextValue[] }
  | { readonly kind: "matches"; readonly value: ValuePath; readonly patterns: readonly string[] }
  | { readonly kind: "time"; readonly window: TimeWindow };

export interface AccessRule {
  readonly name: string;
  readonly effect: "allow" | "deny";
  /** All must hold. None: always. */
  readonly conditions: readonly Condition[];
  /** What a caller is told that it denies. */
  readonly message: string;
}

/** Where the context comes from. */
export type ContextOrigin =
  | { readonly kind: "file"; readonly path: string; readonly maxAgeMs: number }
  | {
      readonly kind: "http";
      readonly url: string;
      readonly everyMs: number;
      readonly timeoutMs: number;
      readonly maxAgeMs: number;
    };

export interface AccessRules {
  readonly context: ContextOrigin;
  readonly subjects: readonly Subject[];
  /** The first that matches decides; where none does it is denied. */
  readonly rules: readonly AccessRule[];
  /** Headers for the application: set to a value on allow; taken off where there is none, so that no client's word stands. */
  readonly setHeaders: readonly (readonly [header: string, value: ValuePath])[];
}
