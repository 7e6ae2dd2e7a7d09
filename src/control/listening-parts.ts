import { BulwarkError } from "../resources/bulwark-error.ts";
import { type ControlEvent, fieldsOf, numberField, type PartStatus } from "./messages.ts";
import type { RpcHandler, RpcPeer } from "./rpc.ts";

/** Processes of the mesh that serve what is no proxy's: a call finds nobody before they listen. */
export const LISTENING_PARTS = ["apps", "externals", "network"] as const;
export type ListeningPart = (typeof LISTENING_PARTS)[number];

/** For which configuration each of the mesh's own servers listens, by what their processes say. */
export class ListeningParts {
  readonly #onEvent: (event: ControlEvent) => void;
  readonly #said = new Map<ListeningPart, { readonly peer: RpcPeer; readonly version: number }>();

  constructor(onEvent: (event: ControlEvent) => void) {
    this.#onEvent = onEvent;
  }

  /** `listening` of one connection, `{part, version}`; what it said ends with it. */
  handlerFor(peer: RpcPeer): RpcHandler {
    return (params) => {
      const part = partOf(params);
      const version = numberField(params, "version", 0, Number.MAX_SAFE_INTEGER);
      this.#said.set(part, { peer, version });
      void peer.closed.then(() => {
        if (this.#said.get(part)?.peer === peer) this.#said.delete(part);
      });
      this.#onEvent({ kind: "part-listening", part, version });
    };
  }

  /** Those that have said anything and are there still. */
  report(): PartStatus[] {
    return [...this.#said].map(([part, { version }]) => ({ part, listeningVersion: version }));
  }
}

/** @throws {BulwarkError} BW_RPC_BAD_PARAMS */
function partOf(params: unknown): ListeningPart {
  const { part } = fieldsOf(params);
  const known = LISTENING_PARTS.find((each) => each === part);
  if (known !== undefined) return known;
  throw new BulwarkError(
    "BW_RPC_BAD_PARAMS",
    `the parameter \`part\` is none of ${LISTENING_PARTS.join(", ")}`,
  );
}
