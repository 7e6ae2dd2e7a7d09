import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readPrivateFile, writePrivateFile } from "../../identity/key-store.ts";
import { parseSpiffeBundle, printSpiffeBundle, type TrustBundle } from "../../identity/spiffe-bundle.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { FederatedDomain } from "./federation-option.ts";
import { fetchBundle } from "./fetch-bundle.ts";

export interface BundleFollowerOptions {
  readonly domain: FederatedDomain;
  /** Where the last good bundle outlives this process. */
  readonly folder: string;
  readonly onBundle: (bundle: TrustBundle) => void;
  readonly onWarning: (message: string) => void;
  /** Bounds of how often is looked, whatever the publisher hints; default 5 s and 1 h. */
  readonly leastMs?: number;
  readonly mostMs?: number;
}

/** What of a trust domain is known from earlier. */
interface Stored {
  readonly bundle: TrustBundle;
  /** Of the file that it started with: another file is a new start. */
  readonly startedWith: string;
}

/** SPIFFE Federation specification §4.1: where a bundle hints nothing. */
const DEFAULT_REFRESH_MS = 300_000;
const FIRST_RETRY_MS = 1000;

/** Follows the bundle of one federated trust domain: from its file, from what was had last, from its endpoint. */
export class BundleFollower {
  readonly #options: Required<BundleFollowerOptions>;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #known: TrustBundle | undefined;
  #startedWith = "";
  #failures = 0;

  constructor(options: BundleFollowerOptions) {
    this.#options = { leastMs: 5000, mostMs: 3_600_000, ...options };
  }

  /**
   * Takes what there is without asking anyone, then goes on looking.
   * @throws {BulwarkError} BW_TRUST_BUNDLE_INVALID, BW_TRUST_BUNDLE_FILE: the file that it is to start with.
   */
  start(): void {
    this.#takeStart();
    this.#schedule(this.#options.domain.url === undefined ? this.#refreshMs() : 0);
  }

  stop(): void {
    this.#stopping.abort();
    clearTimeout(this.#timer);
  }

  /** A file that says something else than before replaces what was fetched since: it is how trust is put right by hand. */
  #takeStart(): void {
    const { domain } = this.#options;
    const text = readStart(domain);
    const startedWith = createHash("sha256").update(text).digest("hex");
    if (startedWith === this.#startedWith) return;
    const stored = this.#stored();
    const isSame = this.#startedWith === "" && stored?.startedWith === startedWith;
    const bundle = isSame
      ? stored.bundle
      : text === ""
        ? undefined
        : parseSpiffeBundle(domain.trustDomain, text);
    this.#startedWith = startedWith;
    if (bundle !== undefined) this.#take(bundle);
  }

  async #refresh(): Promise<void> {
    const { domain } = this.#options;
    try {
      this.#takeStart();
      const { url } = domain;
      if (url !== undefined) {
        const bundle = await fetchBundle({ ...domain, url }, this.#known, this.#stopping.signal);
        this.#refuseOlder(bundle);
        this.#take(bundle);
      }
      if (this.#failures > 0)
        this.#options.onWarning(`the trust bundle of ${domain.trustDomain} is had again`);
      this.#failures = 0;
    } catch (error) {
      this.#failed(error);
    }
    this.#schedule(this.#refreshMs());
  }

  #failed(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const { domain, onWarning } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    const rest =
      this.#known === undefined
        ? "none of its workloads is believed until it is"
        : "the last one stays in force";
    if (this.#failures === 0) onWarning(`${domain.trustDomain}: ${message}; ${rest}`);
    this.#failures++;
  }

  /** An endpoint that serves an old bundle would bring back roots that were taken out of it. */
  #refuseOlder({ sequence }: TrustBundle): void {
    const before = this.#known?.sequence;
    if (before === undefined || sequence === undefined || sequence >= before) return;
    throw new BulwarkError(
      "BW_TRUST_BUNDLE_OLDER",
      "the endpoint's trust bundle is older than the one that is known",
    );
  }

  #take(bundle: TrustBundle): void {
    this.#known = bundle;
    const stored = { startedWith: this.#startedWith, bundle: JSON.parse(printSpiffeBundle(bundle)) };
    writePrivateFile(this.#file(), JSON.stringify(stored));
    this.#options.onBundle(bundle);
  }

  #refreshMs(): number {
    const { leastMs, mostMs } = this.#options;
    const hinted = this.#known?.refreshHintSeconds;
    const usual = Math.min(
      mostMs,
      Math.max(leastMs, hinted === undefined ? DEFAULT_REFRESH_MS : hinted * 1000),
    );
    return this.#failures === 0
      ? usual
      : Math.min(usual, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 20));
  }

  #schedule(inMs: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#refresh(), inMs);
    this.#timer.unref();
  }

  /** What cannot be read is not had: the file or the endpoint gives it anew. */
  #stored(): Stored | undefined {
    try {
      const { startedWith, bundle } = JSON.parse(readPrivateFile(this.#file()) ?? "{}") as Record<
        string,
        unknown
      >;
      if (typeof startedWith !== "string") return undefined;
      return {
        startedWith,
        bundle: parseSpiffeBundle(this.#options.domain.trustDomain, JSON.stringify(bundle)),
      };
    } catch {
      return undefined;
    }
  }

  #file(): string {
    return join(this.#options.folder, `${this.#options.domain.trustDomain}.json`);
  }
}

/**
 * What stands in the file that a federation starts with; empty without one.
 * @throws {BulwarkError} BW_TRUST_BUNDLE_FILE, BW_TRUST_BUNDLE_INVALID
 */
export function readStart({ bundleFile, trustDomain }: FederatedDomain): string {
  if (bundleFile === undefined) return "";
  let text: string;
  try {
    text = readFileSync(bundleFile, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BulwarkError("BW_TRUST_BUNDLE_FILE", `the trust bundle ${bundleFile} cannot be read: ${why}`, {
      cause,
    });
  }
  parseSpiffeBundle(trustDomain, text);
  return text;
}
