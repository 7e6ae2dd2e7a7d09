import { promises as dns } from "node:dns";
import { isIP } from "node:net";
import type { Placement } from "../model/placement.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";

const CACHE_MS = 5000;
/** Names come from clients: what they make us remember is bounded. */
const CACHE_ENTRIES = 1024;

/** Addresses of hosts outside of the mesh: the stand-ins' where there are any, else those that DNS gives. */
export class Resolver {
  readonly #exact = new Map<string, string>();
  readonly #suffixes: { suffix: string; address: string }[] = [];
  readonly #simulated: boolean;
  readonly #cache = new Map<string, { addresses: Promise<readonly string[]>; untilMs: number }>();

  constructor(placement: Placement) {
    this.#simulated = placement.standIns.length > 0;
    for (const { host, address } of placement.standIns) {
      if (host.startsWith("*")) this.#suffixes.push({ suffix: host.slice(1).toLowerCase(), address });
      else this.#exact.set(host.toLowerCase(), address);
    }
    this.#suffixes.sort((a, b) => b.suffix.length - a.suffix.length);
  }

  /**
   * @returns at least one address.
   * @throws {BulwarkError} BW_RESOLVE_FAILED when there is none.
   */
  async resolve(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    const name = host.toLowerCase();
    const standIn =
      this.#exact.get(name) ?? this.#suffixes.find(({ suffix }) => name.endsWith(suffix))?.address;
    if (standIn !== undefined) return [standIn];
    // With stand-ins the mesh is to work offline: a host that has none does not exist.
    if (this.#simulated) throw new BulwarkError("BW_RESOLVE_FAILED", `no stand-in for \`${name}\``);
    return this.#lookUp(name);
  }

  #lookUp(name: string): Promise<readonly string[]> {
    const now = performance.now();
    const known = this.#cache.get(name);
    if (known !== undefined && known.untilMs > now) return known.addresses;
    const addresses = dns.lookup(name, { all: true }).then(
      (found) => found.map(({ address }) => address),
      (cause: unknown) => {
        this.#cache.delete(name);
        throw new BulwarkError("BW_RESOLVE_FAILED", `\`${name}\` does not resolve`, { cause });
      },
    );
    if (this.#cache.size >= CACHE_ENTRIES) this.#cache.clear();
    this.#cache.set(name, { addresses, untilMs: now + CACHE_MS });
    return addresses;
  }
}
