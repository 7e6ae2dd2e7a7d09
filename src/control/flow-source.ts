import { existsSync } from "node:fs";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { parseFlowFilter } from "../telemetry/flow-filter.ts";
import type { FlowPage, StoredFlow } from "../telemetry/flow-query.ts";
import { FlowStore } from "../telemetry/flow-store.ts";
import { connectAdmin } from "./control-link.ts";
import { followFlows } from "./follow-flows.ts";
import { operationalCode } from "./operational-error.ts";
import type { RpcPeer } from "./rpc.ts";
import type { StateFolder } from "./state-folder.ts";

/** A way to read the flow log: from the running control plane, or, when none runs, from its file. */
export interface FlowSource {
  /** The newest that pass, oldest of them first. */
  newest(filter: readonly string[], limit: number): Promise<readonly StoredFlow[]>;
  /** Until control is gone. */
  follow(filter: readonly string[], onFlows: (flows: readonly StoredFlow[]) => void): Promise<void>;
  close(): void;
}

/** @throws {BulwarkError} BW_CONTROL_UNREACHABLE when there is no log at all, BW_STATE_UNUSABLE, and those of the store. */
export async function flowSource(state: StateFolder): Promise<FlowSource> {
  try {
    return new LiveFlows(await connectAdmin(state));
  } catch (error) {
    if (!(error instanceof BulwarkError) || error.code !== "BW_CONTROL_UNREACHABLE") throw error;
    if (!existsSync(state.flowLog))
      throw new BulwarkError("BW_CONTROL_UNREACHABLE", `no mesh has run on ${state.root}`);
    return new StoredFlows(openStored(state));
  }
}

function openStored(state: StateFolder): FlowStore {
  try {
    return new FlowStore(state.flowLog, { readOnly: true });
  } catch (cause) {
    if (operationalCode(cause) !== "BW_FLOWS_READ_ONLY") throw cause;
    // SQLite has to make its -shm file beside a log of WAL mode (https://www.sqlite.org/wal.html#read_only_databases).
    throw new BulwarkError(
      "BW_STATE_UNUSABLE",
      `the state folder \`${state.root}\` cannot be used: its flow log cannot be opened where nothing may be written; copy the folder to a place where you may write, and name the copy with --state`,
      { cause },
    );
  }
}

class LiveFlows implements FlowSource {
  readonly #peer: RpcPeer;

  constructor(peer: RpcPeer) {
    this.#peer = peer;
  }

  async newest(filter: readonly string[], limit: number): Promise<readonly StoredFlow[]> {
    const page = (await this.#peer.request("flows.query", { filter, limit }, 30_000)) as FlowPage;
    return page.flows.toReversed();
  }

  async follow(filter: readonly string[], onFlows: (flows: readonly StoredFlow[]) => void): Promise<void> {
    let gone = false;
    void this.#peer.closed.then(() => {
      gone = true;
    });
    await followFlows(
      (method, params) => this.#peer.request(method, params, 30_000),
      filter,
      () => gone,
      onFlows,
    );
    throw new BulwarkError("BW_CONTROL_UNREACHABLE", "the mesh has gone");
  }

  close(): void {
    this.#peer.close();
  }
}

class StoredFlows implements FlowSource {
  readonly #store: FlowStore;

  constructor(store: FlowStore) {
    this.#store = store;
  }

  async newest(filter: readonly string[], limit: number): Promise<readonly StoredFlow[]> {
    const parsed = parseFlowFilter(filter, Date.now());
    if (!parsed.ok) throw new BulwarkError("BW_FLOWS_BAD_FILTER", parsed.errors.join("; "));
    return this.#store.query(parsed.filter, { limit }).flows.toReversed();
  }

  async follow(): Promise<void> {
    throw new BulwarkError(
      "BW_CONTROL_UNREACHABLE",
      "no mesh runs on this state folder: there is nothing to follow",
    );
  }

  close(): void {
    this.#store.close();
  }
}
