import { createHash } from "node:crypto";
import type { JwtSvidKeys } from "../../identity/jwt-svid/jwt-svid-keys.ts";
import { writePrivateFile } from "../../identity/key-store.ts";
import { printSpiffeBundle, type TrustBundle } from "../../identity/spiffe-bundle.ts";
import type { TrustDomain } from "../../model/spiffe-id.ts";
import { readJson } from "../state-folder.ts";

export interface TrustBundlesOptions {
  readonly trustDomain: TrustDomain;
  /** Roots of the mesh's CA that count now, in DER. */
  readonly x509Authorities: () => readonly Buffer[];
  /** Undefined where nobody asks for JWT-SVIDs. */
  readonly jwtKeys: JwtSvidKeys | undefined;
  /** Where the sequence number outlives this process. */
  readonly file: string;
  /** Where the document itself is kept up to date, for who federates with this mesh; public. */
  readonly documentFile: string;
  readonly refreshHintSeconds: number;
  readonly onWarning: (message: string) => void;
}

/** How long a change of the CA's roots may stay unnoticed. Looking costs a hash of a few kilobytes. */
const CHECK_MS = 1000;

export type TrustChange = "own" | "federated";

/** What identities are verified against: the mesh's own bundle, and the one of each trust domain that it is federated with. */
export class TrustBundles {
  readonly #options: TrustBundlesOptions;
  readonly #listeners = new Set<(change: TrustChange) => void>();
  readonly #federated = new Map<TrustDomain, TrustBundle>();
  readonly #timer: NodeJS.Timeout;
  #own: TrustBundle;
  #fingerprint: string;
  #failing = false;

  constructor(options: TrustBundlesOptions) {
    this.#options = options;
    const stored = readSequence(options.file);
    this.#own = this.#read(stored.sequence);
    this.#fingerprint = fingerprintOf(this.#own);
    if (this.#fingerprint !== stored.fingerprint) this.#adopt(this.#own, this.#fingerprint);
    else this.#publish();
    this.#timer = setInterval(() => void this.refresh(), CHECK_MS);
    this.#timer.unref();
  }

  get own(): TrustBundle {
    return this.#own;
  }

  /** By trust domain; never the mesh's own. A domain whose bundle was never had is absent. */
  get federated(): ReadonlyMap<TrustDomain, TrustBundle> {
    return this.#federated;
  }

  /** Undefined for a domain that is not trusted. */
  of(trustDomain: TrustDomain): TrustBundle | undefined {
    return trustDomain === this.#own.trustDomain ? this.#own : this.#federated.get(trustDomain);
  }

  /** The mesh's own bundle, then the others. */
  all(): readonly TrustBundle[] {
    return [this.#own, ...this.#federated.values()];
  }

  setFederated(bundle: TrustBundle): void {
    const before = this.#federated.get(bundle.trustDomain);
    this.#federated.set(bundle.trustDomain, bundle);
    if (before === undefined || fingerprintOf(before) !== fingerprintOf(bundle)) this.#tell("federated");
  }

  /** @returns how to stop listening. */
  watch(listener: (change: TrustChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Another of the CA's intermediates signs: who holds a certificate of the one before should have another. */
  signerChanged(): void {
    this.#tell("own");
  }

  /** Looks whether roots or keys are others than before; also by itself, each second. Never rejects. */
  async refresh(): Promise<void> {
    try {
      await this.#options.jwtKeys?.rotate();
      const own = this.#read(this.#own.sequence ?? 0);
      const fingerprint = fingerprintOf(own);
      if (fingerprint !== this.#fingerprint) {
        this.#adopt(own, fingerprint);
        this.#tell("own");
      }
      this.#failing = false;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!this.#failing) this.#options.onWarning(`the trust bundle stays as it was: ${message}`);
      this.#failing = true;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }

  #read(sequence: number): TrustBundle {
    const { trustDomain, x509Authorities, jwtKeys, refreshHintSeconds } = this.#options;
    return {
      trustDomain,
      x509Authorities: x509Authorities(),
      jwtAuthorities: jwtKeys?.authorities ?? [],
      sequence,
      refreshHintSeconds,
    };
  }

  /** The number is on the disk before anyone is told of it: it must not come back with another bundle after a restart. */
  #adopt(bundle: TrustBundle, fingerprint: string): void {
    const sequence = (bundle.sequence ?? 0) + 1;
    writePrivateFile(this.#options.file, JSON.stringify({ sequence, fingerprint }));
    this.#own = { ...bundle, sequence };
    this.#fingerprint = fingerprint;
    this.#publish();
  }

  #publish(): void {
    writePrivateFile(this.#options.documentFile, `${printSpiffeBundle(this.#own)}\n`);
  }

  #tell(change: TrustChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function fingerprintOf(bundle: TrustBundle): string {
  const counted = { ...bundle, sequence: undefined, refreshHintSeconds: undefined };
  return createHash("sha256").update(printSpiffeBundle(counted)).digest("hex");
}

function readSequence(file: string): { readonly sequence: number; readonly fingerprint: string } {
  const { sequence, fingerprint } = (readJson(file) ?? {}) as { sequence?: unknown; fingerprint?: unknown };
  return {
    sequence: typeof sequence === "number" && Number.isSafeInteger(sequence) ? sequence : 0,
    fingerprint: typeof fingerprint === "string" ? fingerprint : "",
  };
}
