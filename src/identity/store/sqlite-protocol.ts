import type { BulwarkErrorCode } from "../../resources/bulwark-error.ts";
import type { SqliteOperations } from "./sqlite-operations.ts";

export type OperationName = keyof SqliteOperations;

/** One operation to perform; its arguments and result cross by structured clone. */
export interface Call<K extends OperationName = OperationName> {
  readonly id: number;
  readonly name: K;
  readonly args: Parameters<SqliteOperations[K]>;
}

/** An Error would lose its code on the way. */
export interface Failure {
  readonly code: BulwarkErrorCode;
  readonly message: string;
}

export type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly failure: Failure });

export type ToWorker =
  | { readonly kind: "batch"; readonly calls: readonly Call[] }
  | { readonly kind: "close" };

export type FromWorker =
  | { readonly kind: "open" }
  | { readonly kind: "not-open"; readonly failure: Failure }
  /** `idle`: the batch is done, the next may come. */
  | { readonly kind: "answers"; readonly answers: readonly Answer[]; readonly idle: boolean };
