import { type Resource, resourceName } from "../resources/resource.ts";
import type { Authorization } from "./authorization.ts";

/**
 * Compiled authorization, by the policies that it is compiled from: workloads that the same policies select share it, and after a
 * change only what a changed policy selects is compiled again. Policies are the same where they say the same under one name, read
 * from a file again or not.
 */
export class AuthorizationCache {
  readonly #made = new Map<string, Entry>();
  /** What a policy says, as a number. */
  readonly #idByText = new Map<string, number>();
  readonly #idByPolicy = new WeakMap<Resource, number>();
  #compiled = 0;
  #nextId = 0;

  /** How often something was compiled, rather than found. */
  get compiled(): number {
    return this.#compiled;
  }

  /** How many are kept. */
  get size(): number {
    return this.#made.size;
  }

  /**
   * @param policies all that select the workload, in their order.
   * @param settings whatever else is compiled in.
   */
  of(policies: readonly Resource[], settings: string, compile: () => Authorization): Authorization {
    const ids = policies.map((policy) => this.#idOf(policy));
    const key = `${ids.join(" ")} ${settings}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known.authorization;
    const authorization = compile();
    this.#compiled += 1;
    this.#made.set(key, { ids, authorization });
    return authorization;
  }

  /** The cache of a mesh that has these policies instead: it keeps what still holds there, and nothing else. */
  successor(policies: readonly Resource[]): AuthorizationCache {
    const next = new AuthorizationCache();
    next.#nextId = this.#nextId;
    const kept = new Set<number>();
    for (const policy of policies) {
      const text = textOf(policy);
      const id = this.#idByText.get(text);
      if (id === undefined) continue;
      kept.add(id);
      next.#idByText.set(text, id);
      next.#idByPolicy.set(policy, id);
    }
    for (const [key, entry] of this.#made)
      if (entry.ids.every((id) => kept.has(id))) next.#made.set(key, entry);
    return next;
  }

  #idOf(policy: Resource): number {
    const known = this.#idByPolicy.get(policy);
    if (known !== undefined) return known;
    const text = textOf(policy);
    const id = this.#idByText.get(text) ?? this.#nextId++;
    this.#idByText.set(text, id);
    this.#idByPolicy.set(policy, id);
    return id;
  }
}

interface Entry {
  readonly ids: readonly number[];
  readonly authorization: Authorization;
}

/** Everything of a policy that is compiled: annotations, as `istio.io/dry-run` is one. */
function textOf(policy: Resource): string {
  return JSON.stringify([resourceName(policy), policy.annotations, policy.spec]);
}
