import type { ListeningPart } from "./listening-parts.ts";
import type { RpcPeer } from "./rpc.ts";

/** Tells control for which configuration this process listens: once it knows, and again to each control that comes. */
export class ListeningReport {
  readonly #part: ListeningPart;
  #peer: RpcPeer | undefined;
  #version: number | undefined;

  constructor(part: ListeningPart) {
    this.#part = part;
  }

  /** Everything of these assignments' version is being listened for; undefined where nobody numbered them. */
  listens(version: number | undefined): void {
    this.#version = version;
    this.#tell();
  }

  /** From here on something is not, until `listens` says otherwise. */
  pauses(): void {
    this.#version = undefined;
  }

  connected(peer: RpcPeer): void {
    this.#peer = peer;
    this.#tell();
  }

  #tell(): void {
    if (this.#version !== undefined)
      this.#peer?.notify("listening", { part: this.#part, version: this.#version });
  }
}
