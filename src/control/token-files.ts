import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { writePrivateFile } from "../identity/key-store.ts";
import { openTokenIssuer, type ServiceAccountTokenIssuer } from "../identity/service-account-token.ts";
import { podKey, type SessionHolder } from "../substrate/assignment.ts";
import { TOKEN_KEYS_FILE } from "./own-tokens.ts";
import type { StateFolder } from "./state-folder.ts";
import { tokenFile } from "./token-file.ts";

/** As `istio-token` volumes have it: long enough that proxies outlive a supervisor that is away for hours. */
const TOKEN_TTL_SECONDS = 12 * 3600;
/** A clock that was set back must not keep a token from being written. */
const MAX_WAITS = 5;
const RENEWAL_MS = (TOKEN_TTL_SECONDS / 2) * 1000;

/** Keeps a fresh token in each pod's file: the part that kubelet and API server play in a cluster. */
export class TokenFiles {
  readonly #state: StateFolder;
  readonly #issuer: ServiceAccountTokenIssuer;
  /** Told of each new token. */
  readonly #onWritten: (pod: SessionHolder) => void;
  readonly #pods = new Map<string, SessionHolder>();
  /** Milliseconds since the epoch at which each pod's token was issued; the token itself tells the second alone. */
  readonly #issuedAtMs = new Map<string, number>();
  /** By identity, milliseconds since the epoch: what was issued before proves nothing any more. */
  readonly #cutOffs = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  /** @throws {BulwarkError} those of the token issuer and the key store. */
  static async open(
    state: StateFolder,
    onWarning: (message: string) => void,
    onWritten: (pod: SessionHolder) => void = () => {},
  ): Promise<TokenFiles> {
    const issuer = await openTokenIssuer(state.root);
    writePrivateFile(join(state.tokenFolder, TOKEN_KEYS_FILE), JSON.stringify(issuer.jwks));
    return new TokenFiles(state, issuer, onWarning, onWritten);
  }

  constructor(
    state: StateFolder,
    issuer: ServiceAccountTokenIssuer,
    onWarning: (message: string) => void,
    onWritten: (pod: SessionHolder) => void,
  ) {
    this.#state = state;
    this.#issuer = issuer;
    this.#onWritten = onWritten;
    this.#timer = setInterval(() => {
      this.#renew().catch((error: Error) => onWarning(`tokens could not be renewed: ${error.message}`));
    }, RENEWAL_MS);
    this.#timer.unref();
  }

  /** Writes a token for each pod or ztunnel that is new, or another than before; removes those of the ones that are gone. */
  async apply(holders: readonly SessionHolder[]): Promise<void> {
    const wanted = new Map(holders.map((holder) => [podKey(holder), holder]));
    for (const key of this.#pods.keys()) {
      if (wanted.has(key)) continue;
      rmSync(tokenFile(this.#state, key), { force: true });
      this.#pods.delete(key);
      this.#issuedAtMs.delete(key);
    }
    for (const [key, pod] of wanted) {
      if (this.#pods.get(key)?.uid !== pod.uid) await this.#write(pod);
      this.#pods.set(key, pod);
    }
  }

  /**
   * Of an identity that was revoked: its pods' tokens are left to end, and not renewed by the clock. Those that were issued since, but in the second of
   * the cut-off (before it was known here, when a mesh is brought up right after it), would be refused for good: they are written anew.
   */
  async cutOff(identity: string, beforeMs: number): Promise<void> {
    this.#cutOffs.set(identity, Math.max(beforeMs, this.#cutOffs.get(identity) ?? 0));
    for (const [key, pod] of this.#pods) {
      if (pod.spiffeId === identity && this.#isTakenForOlder(key, pod)) await this.#write(pod);
    }
  }

  /** Gives the pods of an identity new tokens: somebody has judged them sound again. */
  async restore(identity: string): Promise<void> {
    for (const pod of this.#pods.values()) if (pod.spiffeId === identity) await this.#write(pod);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #renew(): Promise<void> {
    for (const [key, pod] of this.#pods) if (!this.#isCutOff(key, pod)) await this.#write(pod);
  }

  #isCutOff(key: string, pod: SessionHolder): boolean {
    return (this.#issuedAtMs.get(key) ?? 0) < this.#cutOffOf(pod);
  }

  async #write(pod: SessionHolder): Promise<void> {
    let token = await this.#mint(pod);
    // A cut-off may have been told meanwhile.
    if (this.#isTakenForOlder(podKey(pod), pod)) token = await this.#mint(pod);
    // After a power cut every pod starts anew, with another.
    writePrivateFile(tokenFile(this.#state, podKey(pod)), `${token}\n`, { outlivesPowerCut: false });
    this.#onWritten(pod);
  }

  /** Issued since the cut-off, but in its second: by what the token tells, before it. */
  #isTakenForOlder(key: string, pod: SessionHolder): boolean {
    const cutOffMs = this.#cutOffOf(pod);
    const issuedAtMs = this.#issuedAtMs.get(key) ?? 0;
    return issuedAtMs >= cutOffMs && wholeSecond(issuedAtMs) < cutOffMs;
  }

  #cutOffOf({ spiffeId }: SessionHolder): number {
    return this.#cutOffs.get(spiffeId) ?? 0;
  }

  async #mint(pod: SessionHolder): Promise<string> {
    // Tokens tell whole seconds: one of the second in which the identity was cut off would count as issued before.
    const notBeforeMs = Math.ceil(this.#cutOffOf(pod) / 1000) * 1000;
    // A timer may fire a millisecond early by this clock, and a token of that second would be refused for good.
    for (let i = 0; i < MAX_WAITS && Date.now() < notBeforeMs; i++)
      await delay(Math.min(notBeforeMs - Date.now(), 1000));
    this.#issuedAtMs.set(podKey(pod), Date.now());
    return this.#issuer.mintToken({
      namespace: pod.namespace,
      serviceAccount: { name: pod.serviceAccount, uid: `${pod.namespace}/${pod.serviceAccount}` },
      pod: { name: pod.name, uid: pod.uid },
      ttlSeconds: TOKEN_TTL_SECONDS,
    });
  }
}

function wholeSecond(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}
