/** The containers of every pod and pod template, with where they stand in their resource. */
import { podOf } from "../../../model/build-workloads.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";

export const CONTAINER_LISTS = ["initContainers", "containers", "ephemeralContainers"] as const;

export type ContainerList = (typeof CONTAINER_LISTS)[number];

type Json = Readonly<Record<string, unknown>>;

export interface WrittenContainer {
  readonly list: ContainerList;
  readonly name: string;
  /** As written; absent where the injector or another admission hook fills it in (`auto`), or it is missing. */
  readonly image?: string;
  readonly body: Json;
  /** From the resource's root: `["spec", "template", "spec", "containers", 0]`. */
  readonly path: FieldPath;
}

/** What the Istio injector takes for "its own image", in gateways' templates. */
const IMAGE_OF_INJECTOR = "auto";

/** @returns nothing for resources that are no pods and make none */
export function containersOf(resource: Resource): readonly WrittenContainer[] {
  const own = podOf(resource);
  return own === undefined ? [] : containersOfPod(own.pod, own.at);
}

/** @param at where the pod stands: `["spec", "template"]` */
export function containersOfPod(pod: Json, at: FieldPath): readonly WrittenContainer[] {
  const spec = asObject(pod.spec) ?? {};
  return CONTAINER_LISTS.flatMap((list) => {
    const written = spec[list];
    return (Array.isArray(written) ? written : []).flatMap((value: unknown, index) => {
      const body = asObject(value);
      return body === undefined ? [] : [container(list, body, [...at, "spec", list, index])];
    });
  });
}

function container(list: ContainerList, body: Json, path: FieldPath): WrittenContainer {
  const { name, image } = body;
  const isWritten = typeof image === "string" && image !== "" && image !== IMAGE_OF_INJECTOR;
  return { list, name: typeof name === "string" ? name : "", ...(isWritten ? { image } : {}), body, path };
}

function asObject(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
