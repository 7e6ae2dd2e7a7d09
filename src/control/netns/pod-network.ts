import type { Mesh } from "../../model/mesh.ts";
import type { Assignments, PodAssignment } from "../../substrate/assignment.ts";
import { isNetworked, NetnsHost } from "../../substrate/netns/host.ts";
import {
  type Launch,
  type LaunchOptions,
  launchInPod,
  type PodUser,
  PROXY_STATE,
} from "../../substrate/netns/launch.ts";
import { fabricOf, NETNS_FOLDER, outsideOf } from "../../substrate/netns/names.ts";
import type { NetworkedPod } from "../../substrate/netns/scripts.ts";
import type { RunBook } from "../run-book.ts";
import type { StateFolder } from "../state-folder.ts";
import { PodFolders, type TokenHolder } from "./pod-folders.ts";
import { policyRules } from "./policy-rules.ts";
import { serviceRules } from "./service-rules.ts";

/**
 * Removes what a mesh has left of its network: nothing to do, and nothing asked of the machine, where it never had one.
 * @returns the names of the namespaces that were there.
 * @throws {BulwarkError} BW_NETNS_FAILED
 */
export async function removeNetwork(state: StateFolder): Promise<readonly string[]> {
  const names = await new NetnsHost(state.root).remove();
  if (names.length > 0) new PodFolders(state).close();
  return names;
}

/** The pods of a mesh as network namespaces: makes them as assignments change, and says how a process is started in one. */
export class PodNetwork {
  readonly #host: NetnsHost;
  readonly #folders: PodFolders;
  readonly #known = new Map<string, NetworkedPod>();
  #isPrepared = false;

  constructor(state: StateFolder) {
    this.#host = new NetnsHost(state.root);
    this.#folders = new PodFolders(state);
  }

  /** @throws {BulwarkError} BW_NETNS_FAILED */
  async apply(assignments: Assignments, mesh: Mesh): Promise<void> {
    if (!this.#isPrepared) this.#folders.prepare(assignments.standIns.length > 0);
    this.#isPrepared = true;
    const wanted = new Map(assignments.pods.filter(isNetworked).map((pod) => [pod.network.namespace, pod]));
    for (const [namespace, pod] of this.#known) {
      if (wanted.has(namespace)) continue;
      this.#folders.remove(pod);
      this.#known.delete(namespace);
    }
    for (const [namespace, pod] of wanted) {
      this.#folders.make(pod);
      this.#known.set(namespace, pod);
    }
    const rules = `${policyRules(mesh, assignments)}${serviceRules(mesh, assignments)}`;
    await this.#host.apply(assignments, rules);
  }

  deliverToken(pod: TokenHolder): void {
    if (this.#isPrepared) this.#folders.deliverToken(pod);
  }

  book(book: RunBook): void {
    this.#folders.book(book);
  }

  /** @param pod one with a network. */
  launch(
    pod: PodAssignment,
    user: PodUser,
    command: string,
    args: readonly string[],
    options: LaunchOptions = {},
  ): Launch {
    if (!isNetworked(pod)) throw new Error(`BUG: ${pod.namespace}/${pod.name} has no network`);
    return launchInPod(pod.network, this.#folders.of(pod), user, command, args, options);
  }

  /** In the namespace of the stand-ins, or of the mesh's own network, by the machine's root. */
  launchBeside(where: "outside" | "fabric", command: string, args: readonly string[]): Launch {
    const namespace = where === "outside" ? outsideOf(this.#host.tag) : fabricOf(this.#host.tag);
    return {
      command: "nsenter",
      args: [`--net=${NETNS_FOLDER}/${namespace}`, "--", command, ...args],
      env: {},
    };
  }

  /** In a network of its own without any interface: whoever works in pods' networks has none itself. */
  launchApart(command: string, args: readonly string[]): Launch {
    return { command: "unshare", args: ["--net", "--", command, ...args], env: {} };
  }

  /** What a proxy in its pod is told as its state folder. */
  get proxyStatePath(): string {
    return PROXY_STATE;
  }

  /** Removes all of it; what runs in it still is ended. */
  async remove(): Promise<void> {
    await this.#host.remove();
    this.#folders.close();
  }
}
