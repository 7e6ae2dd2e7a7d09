/** Of many policies, those that can hold for one workload: by namespace and label, without a look at the others. */
import type { Labels, Workload } from "../model/mesh.ts";
import { matchesLabels } from "../model/selector.ts";
import type { Resource } from "../resources/resource.ts";

interface Ranked {
  readonly policy: Resource;
  /** Its place in the list: by age. */
  readonly rank: number;
}

type Buckets = ReadonlyMap<string, readonly Ranked[]>;

/** Every workload asks, and a list is as long as the mesh is large: without an index that is quadratic. */
const INDEXES = new WeakMap<readonly Resource[], Buckets>();

/**
 * The policies of the workload's namespace and of the root namespace whose `selector` is its, or that have none or name targets; in
 * their order.
 * @param policies a list of the mesh's: the index is kept as long as the list is.
 */
export function policiesFor<T extends Resource>(
  policies: readonly T[],
  { namespace, labels }: Pick<Workload, "namespace" | "labels">,
  rootNamespace: string,
): T[] {
  const buckets = bucketsOf(policies);
  const found: Ranked[] = [];
  for (const own of new Set([namespace, rootNamespace])) {
    found.push(...(buckets.get(bucketName(own)) ?? []));
    for (const [key, value] of Object.entries(labels))
      for (const ranked of buckets.get(bucketName(own, key, value)) ?? [])
        if (matchesLabels(selectorOf(ranked.policy), labels)) found.push(ranked);
  }
  // Every entry of the index is of the list that it was made of.
  return found.sort((a, b) => a.rank - b.rank).map(({ policy }) => policy as T);
}

function bucketsOf(policies: readonly Resource[]): Buckets {
  const known = INDEXES.get(policies);
  if (known !== undefined) return known;
  const buckets = new Map<string, Ranked[]>();
  for (const [rank, policy] of policies.entries()) {
    // One label of a selector is enough to find it by: the workload has to have them all.
    const [label] = Object.entries(selectorOf(policy));
    const name = bucketName(policy.namespace, ...(label ?? []));
    const bucket = buckets.get(name);
    if (bucket === undefined) buckets.set(name, [{ policy, rank }]);
    else bucket.push({ policy, rank });
  }
  INDEXES.set(policies, buckets);
  return buckets;
}

function bucketName(namespace: string, ...label: readonly string[]): string {
  return [namespace, ...label].join("\n");
}

interface SelectableSpec {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: unknown;
  readonly targetRefs?: readonly unknown[];
}

/** Where a policy names targets, its selector says nothing (see policy-attachment.ts). */
function selectorOf({ spec }: Resource): Labels {
  const { selector, targetRef, targetRefs = [] } = (spec ?? {}) as SelectableSpec;
  return targetRef === undefined && targetRefs.length === 0 ? (selector?.matchLabels ?? {}) : {};
}
