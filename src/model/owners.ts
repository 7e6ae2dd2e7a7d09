import type { Resource } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";
import { podOf } from "./written-pod.ts";

type Json = Readonly<Record<string, unknown>>;

/** Objects by what an owner reference says of them. */
export class Owners {
  readonly #byKey = new Map<string, Resource>();

  constructor(resources: readonly Resource[]) {
    for (const resource of resources) {
      if (resource.kind === "Pod" || podOf(resource) === undefined) continue;
      const kind = `${apiGroup(resource.apiVersion)}/${resource.kind}`;
      this.#byKey.set(keyOf(resource.namespace, kind, resource.name), resource);
    }
  }

  /** The object that made this one, through all generations, as far as it is present; the object itself where none is. */
  topOwner(resource: Resource): Resource {
    const passed = new Set<Resource>([resource]);
    let top = resource;
    for (let owner = this.#owner(top); owner !== undefined; owner = this.#owner(top)) {
      // A circle has no top: each of its members stands for itself.
      if (passed.has(owner)) return resource;
      passed.add(owner);
      top = owner;
    }
    return top;
  }

  #owner(resource: Resource): Resource | undefined {
    const reference = controllerOf(resource);
    if (reference === undefined) return undefined;
    const kind = `${apiGroup(String(reference.apiVersion ?? ""))}/${String(reference.kind)}`;
    const name = String(reference.name);
    return this.#find(resource.namespace, kind, name) ?? this.#deploymentOf(resource, kind, name);
  }

  /** ReplicaSets are often left out of manifests; their names are their Deployment's, or Rollout's, with the hash of the template. */
  #deploymentOf(resource: Resource, kind: string, name: string): Resource | undefined {
    if (kind !== "apps/ReplicaSet") return undefined;
    for (const [label, maker] of HASHES) {
      const hash = resource.labels[label];
      if (hash === undefined || !name.endsWith(`-${hash}`)) continue;
      return this.#find(resource.namespace, maker, name.slice(0, -hash.length - 1));
    }
    return undefined;
  }

  #find(namespace: string, kind: string, name: string): Resource | undefined {
    return this.#byKey.get(keyOf(namespace, kind, name));
  }
}

const HASHES = [
  ["pod-template-hash", "apps/Deployment"],
  ["rollouts-pod-template-hash", "argoproj.io/Rollout"],
] as const;

function keyOf(namespace: string, kind: string, name: string): string {
  return `${kind} ${namespace}/${name}`;
}

/** The one owner that manages the object (metav1.OwnerReference.controller), else the first. */
function controllerOf(resource: Resource): Json | undefined {
  const references = record(resource.body.metadata).ownerReferences;
  if (!Array.isArray(references)) return undefined;
  const records = references.map(record);
  return records.find((reference) => reference.controller === true) ?? records[0];
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
