import type { FetchJwks, RefetchJwks } from "../../policy/jwt/jwt-policy.ts";
import type { KeySource } from "../../policy/jwt/key-source.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { KeyText } from "../messages.ts";

export type AskForKeys = (id: string, timeoutMs: number) => Promise<KeyText>;

/** A proxy does not ask again sooner, whatever tokens name: control has limits of its own, this one spares it the question. */
const ASK_AGAIN_MS = 1000;

interface Known {
  readonly text: string | null;
  asked: Promise<string | undefined> | undefined;
  askedAtMs: number;
}

/** What a proxy has of the keys that control fetches. Requests that need newer ones wait together for one answer, or not at all. */
export class ProxyKeys {
  readonly #ask: AskForKeys;
  readonly #known = new Map<string, Known>();

  constructor(ask: AskForKeys) {
    this.#ask = ask;
  }

  /** Adds and replaces. A source that control has nothing for does not take from us what we have. */
  take(keys: readonly KeyText[]): void {
    for (const { id, text } of keys) {
      const before = this.#known.get(id);
      this.#known.set(id, {
        text: text ?? before?.text ?? null,
        asked: before?.asked,
        askedAtMs: before?.askedAtMs ?? Number.NEGATIVE_INFINITY,
      });
    }
  }

  /** Forgets what no policy in force needs. */
  keepOnly(keys: readonly KeyText[]): void {
    const ids = new Set(keys.map(({ id }) => id));
    for (const id of [...this.#known.keys()]) if (!ids.has(id)) this.#known.delete(id);
  }

  readonly fetchJwks: FetchJwks = async (source) => {
    const text = this.#known.get(source.id)?.text ?? (await this.refetchJwks(source));
    if (text !== undefined) return text;
    throw new BulwarkError("BW_JWKS_NOT_FETCHED", "the keys were never had");
  };

  readonly refetchJwks: RefetchJwks = (source) => {
    const known = this.#known.get(source.id);
    if (known === undefined) return Promise.resolve(undefined);
    if (known.asked !== undefined) return known.asked;
    if (performance.now() - known.askedAtMs < ASK_AGAIN_MS) return Promise.resolve(known.text ?? undefined);
    known.askedAtMs = performance.now();
    known.asked = this.#askFor(source).finally(() => {
      const now = this.#known.get(source.id);
      if (now !== undefined) now.asked = undefined;
    });
    return known.asked;
  };

  async #askFor({ id, timeoutMs }: KeySource): Promise<string | undefined> {
    try {
      const answer = await this.#ask(id, timeoutMs);
      if (this.#known.has(id)) this.take([{ id, text: answer.text }]);
    } catch {
      // Control is away or slow: what there is goes on being used.
    }
    return this.#known.get(id)?.text ?? undefined;
  }
}
