/** Stable, append-only name of one kind of operational failure, such as `BW_CA_TTL_TOO_LONG`. */
export type BulwarkErrorCode = `BW_${string}`;

export interface BulwarkErrorOptions {
  /** What a program may want to know about the failure. Never a key, a token or a whole certificate. */
  readonly detail?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * The one error class for operational failures: what the world did to us, as opposed to faults in the user's
 * configuration (those are diagnostics) and to bugs (messages that start with `BUG:`).
 *
 * `code` is what callers and tests branch on; `message` is one line for a person and says how to mend it where it can.
 */
export class BulwarkError extends Error {
  readonly code: BulwarkErrorCode;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: BulwarkErrorCode, message: string, options: BulwarkErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BulwarkError";
    this.code = code;
    this.detail = options.detail ?? {};
  }
}
