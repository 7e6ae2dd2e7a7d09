/** Pods that policies hold for and that the files do not show: what a policy lets in to them must stay as it is. */
import type { Labels, Mesh } from "../../model/mesh.ts";
import { unreadPods } from "../../model/unread-pods.ts";
import { type Policy, targetRefsOf } from "./policy-manifest.ts";

/** One that records are of, or that an object of the files makes. */
interface UnreadPod {
  readonly name: string;
  /** Empty where nobody says. */
  readonly namespace: string;
  /** Of its templates; empty where nobody says. */
  readonly templates: readonly Labels[];
}

export class PodsUnread {
  readonly #pods: readonly UnreadPod[];
  readonly #rootNamespace: string;

  /** @param unknown `namespace/name` of those that records are of; empty where a record does not say. */
  constructor({ resources, config }: Mesh, unknown: Iterable<string>) {
    this.#rootNamespace = config.rootNamespace;
    this.#pods = [
      ...unreadPods(resources),
      ...[...unknown].map((name) => ({
        name: name === "" ? "a pod that a record is of" : name,
        namespace: name.split("/")[0] ?? "",
        templates: [],
      })),
    ];
  }

  /**
   * One that the policy holds for. @param isShared whether it is for several workloads, and loses its rules where they get their own: then who has
   * labels that nobody says may be one of them. One for a single workload is taken to be for no other.
   */
  heldBy({ namespace, spec, ...policy }: Policy, isShared: boolean): string | undefined {
    if (targetRefsOf({ namespace, spec, ...policy } as Policy).length > 0) return undefined;
    const isRoot = namespace === this.#rootNamespace;
    const selector = spec?.selector?.matchLabels ?? {};
    const isWhole = Object.keys(selector).length === 0;
    return this.#pods.find(
      (pod) =>
        (isRoot || pod.namespace === "" || pod.namespace === namespace) &&
        (isWhole || isSelected(pod, selector) || (isShared && pod.templates.length === 0)),
    )?.name;
  }

  /** One that the selector singles out as well. */
  selectedBy(namespace: string, selector: Labels): string | undefined {
    return this.#pods.find((pod) => pod.namespace === namespace && isSelected(pod, selector))?.name;
  }
}

function isSelected({ templates }: UnreadPod, selector: Labels): boolean {
  return templates.some((labels) => Object.entries(selector).every(([key, value]) => labels[key] === value));
}
