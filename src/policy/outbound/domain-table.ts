import { compareSpecificity, isWildcard } from "./host-name.ts";

/** Names to values, by Envoy's order: exact, then the longest `*` suffix, then `*` alone. Names in lower case. */
export class DomainTable<V> {
  readonly #exact = new Map<string, V>();
  readonly #suffixes: (readonly [suffix: string, value: V])[] = [];
  #any: V | undefined;

  /** @param entries the first of several for one domain stands. */
  constructor(entries: Iterable<readonly [domain: string, value: V]>) {
    const wildcards = new Map<string, V>();
    for (const [domain, value] of entries) {
      if (domain === "*") this.#any ??= value;
      else if (!isWildcard(domain)) {
        if (!this.#exact.has(domain)) this.#exact.set(domain, value);
      } else if (!wildcards.has(domain)) wildcards.set(domain, value);
    }
    for (const domain of [...wildcards.keys()].sort(compareSpecificity)) {
      const value = wildcards.get(domain);
      if (value !== undefined) this.#suffixes.push([domain.slice(1), value]);
    }
  }

  find(name: string): V | undefined {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    for (const [suffix, value] of this.#suffixes)
      if (name.length > suffix.length && name.endsWith(suffix)) return value;
    return this.#any;
  }
}
