/** Which pods a selector selects, without asking every pod: by namespace, or by a label that it pins. */

import type { LabelMatcher } from "./label-matcher.ts";
import { isInScope, type NetworkPod } from "./network-pod.ts";
import type { NamespaceScope } from "./network-policies.ts";

export class SelectorIndex {
  readonly #pods: readonly NetworkPod[];
  readonly #byNamespace = new Map<string, number[]>();
  readonly #byLabel = new Map<string, number[]>();
  readonly #known = new Map<string, readonly number[]>();
  readonly #scopes = new Map<string, ReadonlySet<string>>();

  constructor(pods: readonly NetworkPod[]) {
    this.#pods = pods;
    for (const [at, { namespace, labels }] of pods.entries()) {
      add(this.#byNamespace, namespace, at);
      for (const key in labels) add(this.#byLabel, `${key}=${labels[key]}`, at);
    }
  }

  /** Their places, ascending. The same list for the same selector. */
  select(scope: NamespaceScope, pods: LabelMatcher): readonly number[] {
    const key = `${scopeText(scope)}|${pods.text}`;
    let found = this.#known.get(key);
    if (found === undefined) {
      found = this.#find(scope, pods);
      this.#known.set(key, found);
    }
    return found;
  }

  #find(scope: NamespaceScope, pods: LabelMatcher): readonly number[] {
    const namespaces = this.#namespacesIn(scope);
    const isMatch = (at: number): boolean => {
      const pod = this.#pods[at];
      return pod !== undefined && namespaces.has(pod.namespace) && pods.matches(pod.labels);
    };
    const byLabel = pods.pinned === undefined ? undefined : (this.#byLabel.get(pods.pinned.join("=")) ?? []);
    if (byLabel !== undefined) return byLabel.filter(isMatch);
    const inside = [...namespaces].flatMap((name) => this.#byNamespace.get(name) ?? []);
    return inside.filter(isMatch).sort((a, b) => a - b);
  }

  #namespacesIn(scope: NamespaceScope): ReadonlySet<string> {
    const key = scopeText(scope);
    let names = this.#scopes.get(key);
    if (names === undefined) {
      names = new Set(
        [...this.#byNamespace].flatMap(([name, [first = 0]]) => {
          const pod = this.#pods[first];
          return pod !== undefined && isInScope(scope, pod) ? [name] : [];
        }),
      );
      this.#scopes.set(key, names);
    }
    return names;
  }
}

function scopeText(scope: NamespaceScope): string {
  return "name" in scope ? `=${scope.name}` : `~${scope.labels.text}`;
}

function add(index: Map<string, number[]>, key: string, at: number): void {
  const list = index.get(key);
  if (list === undefined) index.set(key, [at]);
  else list.push(at);
}
