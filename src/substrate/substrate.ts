import type { Mesh } from "../model/mesh.ts";
import type { Assignments } from "./assignment.ts";

export const SUBSTRATES = ["loopback", "netns"] as const;
export type SubstrateName = (typeof SUBSTRATES)[number];

/**
 * Where workloads live. A substrate decides addresses and says which processes are to run; it starts none itself.
 * `loopback` needs no rights on the machine; `netns` (a network namespace for each pod) needs root on Linux.
 */
export interface Substrate {
  readonly name: string;
  /** Attacks and paths that this substrate cannot stop, for a person: reported as such, never counted as stopped. */
  readonly cannotEnforce: readonly string[];
  /**
   * Places every replica of the mesh. What stands in `previous` keeps its address, its ports and its secret.
   * @throws {BulwarkError} BW_SUBSTRATE_NO_ADDRESS when the machine has no address to give.
   */
  assign(mesh: Mesh, previous: Assignments): Promise<Assignments>;
}
