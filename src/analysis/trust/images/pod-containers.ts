/** The containers of every pod and pod template, with where they stand in their resource. */
import { podOf } from "../../../model/written-pod.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";

const ROLES = ["initContainers", "containers", "ephemeralContainers"] as const;

type Json = Readonly<Record<string, unknown>>;

export interface WrittenContainer {
  /** The list of the pod that it stands in. */
  readonly role: (typeof ROLES)[number];
  readonly name: string;
  /** As written; empty where it is missing. */
  readonly image: string;
  readonly container: Json;
  /** From the resource's root: `["spec", "template", "spec", "containers", 0]`. */
  readonly path: FieldPath;
}

/** What Istio's injector puts its own image for. */
export const AUTO_IMAGE = "auto";

/** @returns nothing for resources that are no pods and make none */
export function containersOf(resource: Resource): readonly WrittenContainer[] {
  const own = podOf(resource);
  return own === undefined ? [] : containersOfPod(own.pod, own.at);
}

/** @param at where the pod stands: `["spec", "template"]` */
export function containersOfPod(pod: Json, at: FieldPath): readonly WrittenContainer[] {
  return containersOfSpec(asObject(pod.spec) ?? {}, [...at, "spec"]);
}

/** @param at where the pod's `spec` stands */
export function containersOfSpec(spec: Json, at: FieldPath): readonly WrittenContainer[] {
  return ROLES.flatMap((role) => {
    const written = spec[role];
    return (Array.isArray(written) ? written : []).flatMap((value: unknown, index) => {
      const container = asObject(value);
      if (container === undefined) return [];
      const { name, image } = container;
      return [{ role, name: text(name), image: text(image), container, path: [...at, role, index] }];
    });
  });
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function asObject(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
