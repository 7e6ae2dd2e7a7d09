import { hash } from "node:crypto";
import { fieldsOf, textField } from "../messages.ts";
import type { RpcPeer } from "../rpc.ts";
import type { TrustAnswer, TrustUpdate } from "./messages.ts";

export interface TrustPushOptions {
  /** What proxies are to follow now. */
  readonly wanted: () => TrustUpdate;
  /** A proxy has acknowledged, gone or failed to: whoever waits looks again. */
  readonly onNews: () => void;
  readonly retryMs?: number;
}

/** A proxy's connection. */
export type FollowerPeer = Pick<RpcPeer, "request" | "closed">;

interface Follower {
  readonly pod: string;
  readonly peer: FollowerPeer;
  acknowledged: string | undefined;
  problem: string | undefined;
  busy: boolean;
}

/** A renewal with its time-outs, and handshakes that end at the limit on connecting. */
const PUSH_TIMEOUT_MS = 30_000;
const RETRY_MS = 500;
/** So many proxies renew at one time: a large mesh must not make all of its keys in the same second. */
const CONCURRENT_PUSHES = 32;

/** Has every connected proxy follow the CA, again and again until it says that it does; each new connection is told first of all. */
export class TrustPush {
  readonly #options: TrustPushOptions;
  readonly #followers = new Map<string, Follower>();
  readonly #waiting: Follower[] = [];
  #underWay = 0;

  constructor(options: TrustPushOptions) {
    this.#options = options;
  }

  /** A proxy has connected, in the place of an earlier connection of its pod, if there was one. */
  add(pod: string, peer: FollowerPeer): void {
    const follower: Follower = { pod, peer, acknowledged: undefined, problem: undefined, busy: false };
    this.#followers.set(pod, follower);
    void peer.closed.then(() => {
      if (this.#followers.get(pod) === follower) this.#followers.delete(pod);
      this.#options.onNews();
    });
    this.#enqueue(follower);
  }

  /** What is wanted has changed. */
  pushAll(): void {
    for (const follower of this.#followers.values()) this.#enqueue(follower);
  }

  /** Why a pod's proxy does not count as following; undefined where it does. */
  whyNot(pod: string): string | undefined {
    const follower = this.#followers.get(pod);
    if (follower === undefined) return "its proxy is not connected";
    if (follower.acknowledged === nameOf(this.#options.wanted())) return undefined;
    return follower.problem ?? "its proxy has not acknowledged yet";
  }

  #enqueue(follower: Follower): void {
    if (follower.busy || follower.acknowledged === nameOf(this.#options.wanted())) return;
    follower.busy = true;
    this.#waiting.push(follower);
    this.#next();
  }

  #next(): void {
    while (this.#underWay < CONCURRENT_PUSHES) {
      const follower = this.#waiting.shift();
      if (follower === undefined) return;
      this.#underWay += 1;
      void this.#push(follower).finally(() => {
        this.#underWay -= 1;
        follower.busy = false;
        if (this.#followers.get(follower.pod) === follower && follower.problem === undefined)
          this.#enqueue(follower);
        this.#options.onNews();
        this.#next();
      });
    }
  }

  /** Never rejects. */
  async #push(follower: Follower): Promise<void> {
    const update = this.#options.wanted();
    try {
      const answer = answerOf(await follower.peer.request("trust", update, PUSH_TIMEOUT_MS));
      const hasNothing = answer.issuerKeyId === "" && answer.bundle === "";
      follower.acknowledged = hasNothing ? nameOf(update) : `${answer.issuerKeyId} ${answer.bundle}`;
      follower.problem =
        follower.acknowledged === nameOf(update)
          ? undefined
          : "its proxy follows something else than it was told";
    } catch (error) {
      follower.problem = error instanceof Error ? error.message : String(error);
    }
    if (follower.problem !== undefined)
      setTimeout(() => this.#again(follower), this.#options.retryMs ?? RETRY_MS).unref();
  }

  #again(follower: Follower): void {
    if (this.#followers.get(follower.pod) === follower) this.#enqueue(follower);
  }
}

/** What an answer must be equal to. */
function nameOf({ issuerKeyId, trustBundlePem }: TrustUpdate): string {
  return `${issuerKeyId} ${bundleName(trustBundlePem)}`;
}

export function bundleName(trustBundlePem: string): string {
  return hash("sha256", trustBundlePem, "hex");
}

/** @throws {BulwarkError} BW_RPC_BAD_PARAMS */
function answerOf(result: unknown): TrustAnswer {
  return { issuerKeyId: textField(fieldsOf(result), "issuerKeyId"), bundle: textField(result, "bundle") };
}
