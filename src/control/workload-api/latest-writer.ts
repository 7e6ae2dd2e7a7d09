/** A stream to a client that may not read. */
export interface WritableCall {
  write(message: Buffer): boolean;
  on(event: "drain", listener: () => void): unknown;
}

/**
 * Sends states of which only the newest counts: while a client does not read, one waits in memory, not all that there have been.
 */
export class LatestWriter {
  readonly #call: WritableCall;
  #blocked = false;
  #waiting: Buffer | undefined;

  constructor(call: WritableCall) {
    this.#call = call;
    call.on("drain", () => {
      this.#blocked = false;
      const message = this.#waiting;
      this.#waiting = undefined;
      if (message !== undefined) this.write(message);
    });
  }

  write(message: Buffer): void {
    if (this.#blocked) this.#waiting = message;
    else this.#blocked = !this.#call.write(message);
  }
}
