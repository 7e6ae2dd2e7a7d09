import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { PodNetwork } from "../control/netns/pod-network.ts";
import type { StateFolder } from "../control/state-folder.ts";
import { type PodAssignment, podKey } from "../substrate/assignment.ts";
import { meshTag } from "../substrate/netns/addresses.ts";
import { parseFabric } from "../substrate/netns/drop-reader.ts";
import { FABRIC_TABLE } from "../substrate/netns/fabric-rules.ts";
import { isNetworked } from "../substrate/netns/host.ts";
import { fabricOf, NETNS_FOLDER, outsideOf } from "../substrate/netns/names.ts";
import { runScript } from "../substrate/netns/run-script.ts";
import { captureScript } from "../substrate/netns/scripts.ts";
import { Foothold, type FootholdUser } from "./foothold/foothold.ts";
import { Capture } from "./packets/capture.ts";

const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Packets, by what counted them; each counter only grows. */
export interface WireCounters {
  /** What the firewall outside of the pods dropped. */
  readonly dropped: number;
  /** What it let out of the mesh, by anything but a gateway. */
  readonly leftByOthers: number;
  /** What arrived outside, by source address: counted there, not by the firewall. */
  readonly arrived: ReadonlyMap<string, number>;
}

/** `pod`: its own links. `fabric`: those between all pods, and to the outside. `outside`: where hosts outside of the mesh are. */
export type WirePlace = "fabric" | "outside" | PodAssignment;

/** Where pods are network namespaces: what can be done in them, and what is seen of it on their links. Close it. Needs root. */
export class WireOfMesh {
  /** The mesh's folder of secrets, on the machine. */
  readonly statePath: string;
  readonly #network: PodNetwork;
  readonly #tag: string;
  readonly #footholds = new Map<string, Foothold>();
  readonly #captures = new Map<string, Capture>();

  constructor(state: StateFolder) {
    this.statePath = state.root;
    this.#network = new PodNetwork(state);
    this.#tag = meshTag(state.root);
  }

  /** Code execution in a pod; one process for each of its users, kept. */
  foothold(pod: PodAssignment, user: FootholdUser): Foothold {
    const key = `${podKey(pod)} ${user}`;
    const known = this.#footholds.get(key) ?? new Foothold(this.#network, pod, user);
    this.#footholds.set(key, known);
    return known;
  }

  /** Kept, and going on, from the first time that it is asked for. */
  capture(where: WirePlace, links: "all" | "loopback" = "all"): Capture {
    const namespace = this.#namespaceOf(where);
    const key = `${namespace} ${links}`;
    const known = this.#captures.get(key) ?? new Capture(namespace, links);
    this.#captures.set(key, known);
    return known;
  }

  /** Rejects when nft does. */
  async counters(): Promise<WireCounters> {
    const table = ["nft", "-j", "list", "table", ...FABRIC_TABLE.split(" ")];
    const { counters } = parseFabric(await this.runIn("fabric", table));
    return {
      dropped: counters.dropped ?? 0,
      leftByOthers: counters.left_by_others ?? 0,
      arrived: parseArrived(await this.runIn("outside", table)),
    };
  }

  /** Runs a program in a namespace, by the machine's root. @returns what it printed. */
  async runIn(where: WirePlace, words: readonly string[]): Promise<string> {
    const args = [`--net=${NETNS_FOLDER}/${this.#namespaceOf(where)}`, "--", ...words];
    return (await run("nsenter", args, { maxBuffer: MAX_OUTPUT_BYTES })).stdout;
  }

  /** TCP sockets that listen in a pod: `10.0.0.1:8080`, `[::]:15006`. */
  async listening(pod: PodAssignment): Promise<readonly string[]> {
    const rows = (await this.runIn(pod, ["ss", "-Hltn"])).split("\n").filter((row) => row !== "");
    return [...new Set(rows.map((row) => row.trim().split(/\s+/)[3] ?? ""))].sort();
  }

  /** Puts a pod's capture rules back, that its root has removed. @throws {BulwarkError} BW_NETNS_FAILED */
  async restoreCapture(pod: PodAssignment): Promise<void> {
    if (isNetworked(pod))
      await runScript(captureScript(pod), "the pod's capture rules could not be put back");
  }

  close(): void {
    for (const foothold of this.#footholds.values()) foothold.close();
    for (const capture of this.#captures.values()) capture.close();
    this.#footholds.clear();
    this.#captures.clear();
  }

  #namespaceOf(where: WirePlace): string {
    if (where === "fabric") return fabricOf(this.#tag);
    if (where === "outside") return outsideOf(this.#tag);
    if (where.network === undefined) throw new Error(`BUG: ${podKey(where)} has no network`);
    return where.network.namespace;
  }
}

/** The far end's sets (outside-rules.ts), as libnftables-json(5) has them. */
function parseArrived(json: string): ReadonlyMap<string, number> {
  const { nftables = [] } = JSON.parse(json) as {
    readonly nftables?: readonly {
      readonly set?: {
        readonly elem?: readonly { readonly elem?: { val?: unknown; counter?: { packets?: number } } }[];
      };
    }[];
  };
  const elements = nftables.flatMap(({ set }) => set?.elem ?? []);
  return new Map(elements.map(({ elem }) => [String(elem?.val), elem?.counter?.packets ?? 0]));
}
