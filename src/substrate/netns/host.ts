import { existsSync, readdirSync } from "node:fs";
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
    const script = [removePodsScript(gone)];
    for (const pod of gone) this.#pods.delete(pod.network.namespace);
    const added = [...wanted.values()].filter(({ network }) => !this.#pods.has(network.namespace));
    if (added.length > 0) script.push(podsScript(this.tag, added));
    for (const pod of wanted.values()) if (this.#capturesOtherwise(pod)) script.push(captureScript(pod));
    const rules = `${fabricElements(pods)}${moreRules}`;
    script.push(standInsScript(this.tag, standIns), load(fabricOf(this.tag), rules));
    await runScript(script.join(""), "the pods' namespaces could not be made");
    for (const [namespace, pod] of wanted) this.#pods.set(namespace, pod);
  }

  /** Removes everything of this mesh, also what an `up` that was killed has left. */
  async remove(): Promise<readonly string[]> {
    const names = leftovers(this.tag);
    if (names.length > 0)
      await runScript(names.map(removeNamespace).join(""), "the mesh's namespaces could not be removed");
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
