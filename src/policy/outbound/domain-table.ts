import { compareSpecificity, isWildcard } from "./host-name.ts";

/** Names to values, by Envoy's order: exact, then the longest `*` suffix, then `*` alone. Names in lower case. */
export class DomainTable<V> {
  readonly #exact = new Map<string, V>();
  readonly #suffixes: readonly (readonly [suffix: string, value: V])[];
  readonly #behind: DomainTable<V> | undefined;
  #any: V | undefined;

  /**
   * @param entries the first of several for one domain stands.
   * @param behind a table whose names count as well, but for those that `entries` has too. It is read, not copied.
   */
  constructor(entries: Iterable<readonly [domain: string, value: V]>, behind?: DomainTable<V>) {
    this.#behind = behind;
    const wildcards = new Map<string, V>();
    for (const [domain, value] of entries) {
      if (domain === "*") this.#any ??= value;
      else if (!isWildcard(domain)) {
        if (!this.#exact.has(domain)) this.#exact.set(domain, value);
      } else if (!wildcards.has(domain)) wildcards.set(domain, value);
    }
    this.#suffixes = [...wildcards]
      .sort(([a], [b]) => compareSpecificity(a, b))
      .map(([domain, value]) => [domain.slice(1), value]);
  }

  find(name: string): V | undefined {
    return this.#findExact(name) ?? this.#findSuffix(name)?.[1] ?? this.#findAny();
  }

  #findExact(name: string): V | undefined {
    const own = this.#exact.get(name);
    return own !== undefined || this.#behind === undefined ? own : this.#behind.#findExact(name);
  }

  #findSuffix(name: string): readonly [suffix: string, value: V] | undefined {
    const own = this.#suffixes.find(([suffix]) => name.length > suffix.length && name.endsWith(suffix));
    const other = this.#behind === undefined ? undefined : this.#behind.#findSuffix(name);
    if (own === undefined || other === undefined) return own ?? other;
    return other[0].length > own[0].length ? other : own;
  }

  #findAny(): V | undefined {
    return this.#any === undefined && this.#behind !== undefined ? this.#behind.#findAny() : this.#any;
  }
}
