import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Assignments, PodAssignment } from "../assignment.ts";
import { podKey } from "../assignment.ts";
import { meshTag } from "./addresses.ts";
import { fabricElements } from "./fabric-rules.ts";
import { fabricOf, isOfMesh, NETNS_FOLDER, USERNS_FOLDER } from "./names.ts";
import { runScript } from "./run-script.ts";
import {
  captureScript,
  fabricScript,
  load,
  type NetworkedPod,
  podsScript,
  removeNamespace,
  removePodsScript,
  standInsScript,
} from "./scripts.ts";

const NOT_MADE = "the pods' namespaces could not be made";

/** Makes the network of one mesh as its assignments change, and removes it. Only namespaces of this mesh are touched. */
export class NetnsHost {
  readonly tag: string;
  readonly #pods = new Map<string, NetworkedPod>();
  #hasFabric = false;

  constructor(meshId: string) {
    this.tag = meshTag(meshId);
  }

  /**
   * Makes what is missing, and removes pods that are gone; their processes must have ended.
   * @param moreRules further tables of the namespace that forwards: for `nft -f`, each time whole.
   * @throws {BulwarkError} BW_NETNS_FAILED
   */
  async apply({ pods, standIns }: Assignments, moreRules: string): Promise<void> {
    if (!this.#hasFabric) await runScript(fabricScript(this.tag), "the mesh's network could not be made");
    this.#hasFabric = true;
    const wanted = new Map(pods.filter(isNetworked).map((pod) => [pod.network.namespace, pod]));
    const gone = [...this.#pods.values()].filter((pod) => !isSame(wanted.get(pod.network.namespace), pod));
    await runAtOnce(gone, removePodsScript, "pods that are gone could not be removed");
    for (const pod of gone) this.#pods.delete(pod.network.namespace);
    const added = [...wanted.values()].filter(({ network }) => !this.#pods.has(network.namespace));
    await runAtOnce(added, (part) => podsScript(this.tag, part), NOT_MADE);
    const script: string[] = [];
    for (const pod of wanted.values()) if (this.#capturesOtherwise(pod)) script.push(captureScript(pod));
    const rules = `${fabricElements(pods)}${moreRules}`;
    script.push(standInsScript(this.tag, standIns), load(fabricOf(this.tag), rules));
    await runScript(script.join(""), NOT_MADE);
    for (const [namespace, pod] of wanted) this.#pods.set(namespace, pod);
  }

  /** Removes everything of this mesh, also what an `up` that was killed has left. */
  async remove(): Promise<readonly string[]> {
    const names = leftovers(this.tag);
    const scriptOf = (part: readonly string[]) => part.map(removeNamespace).join("");
    await runAtOnce(names, scriptOf, "the mesh's namespaces could not be removed");
    this.#pods.clear();
    this.#hasFabric = false;
    return names;
  }

  #capturesOtherwise({ network }: NetworkedPod): boolean {
    const known = this.#pods.get(network.namespace)?.network;
    const captured = ({ interception, ambient }: NetworkedPod["network"]) =>
      JSON.stringify([interception, ambient]);
    return known !== undefined && captured(known) !== captured(network);
  }
}

/**
 * Runs a script for each processor, with its part of a list. Each command of a script waits for the one before: alone, it leaves the other
 * processors idle. Settles when all have ended, also where one has failed: nothing may go on behind the back of what comes next.
 * @throws {BulwarkError} BW_NETNS_FAILED
 */
async function runAtOnce<T>(
  all: readonly T[],
  scriptOf: (part: readonly T[]) => string,
  what: string,
): Promise<void> {
  const width = availableParallelism();
  const parts = Map.groupBy(all.entries(), ([index]) => index % width);
  const runs = [...parts.values()].map((part) => runScript(scriptOf(part.map(([, each]) => each)), what));
  const failed = (await Promise.allSettled(runs)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

/** Namespaces of a mesh that are there, with or without a mesh. */
export function leftovers(tag: string): readonly string[] {
  const names = [NETNS_FOLDER, USERNS_FOLDER].flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder) : [],
  );
  return [...new Set(names)].filter((name) => isOfMesh(name, tag));
}

export function isNetworked(pod: PodAssignment): pod is NetworkedPod {
  return pod.network !== undefined;
}

/** Of another account nothing may be left. A sidecar that comes or goes finds the network as it is. */
function isSame(wanted: NetworkedPod | undefined, pod: NetworkedPod): boolean {
  return wanted !== undefined && podKey(wanted) === podKey(pod) && wanted.spiffeId === pod.spiffeId;
}
