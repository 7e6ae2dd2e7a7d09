import type { CertificateAuthority } from "../../identity/ca.ts";
import { isDue } from "../../identity/ca-state.ts";
import type { FinishedRotation, Rotation, RotationKind } from "../../identity/rotation/rotation.ts";
import {
  endPhase,
  forceRotation,
  type RotationStart,
  type RotationStep,
  startRotation,
} from "../../identity/rotation/rotation-steps.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { RotationReport, TrustUpdate, WaitingProxy } from "./messages.ts";
import type { ReplicaRegister } from "./replica-register.ts";
import { type FollowerPeer, TrustPush } from "./trust-push.ts";

export interface RotationDriverOptions {
  readonly ca: Pick<CertificateAuthority, "manifest" | "issuer" | "trustBundlePem" | "rotate">;
  /** Every pod that has a proxy, connected or not: one that is away may still serve with what it was told before. */
  readonly proxies: () => readonly string[];
  /** How long the old is trusted beside the new signer at least, where nobody says; default 0. */
  readonly overlapMs?: () => number;
  /** A phase has begun (`rotation`), or the last has ended (`last`). */
  readonly onPhase: (rotation: Rotation | null, last: FinishedRotation | null) => void;
  /** A step could not be made; told once for each kind of failure. */
  readonly onProblem: (message: string) => void;
  /** Where replicas of this CA share its records. */
  readonly replicas?: Pick<ReplicaRegister, "beginRoot" | "rootBegun" | "publish" | "behind"> | undefined;
  readonly clock?: () => number;
  readonly forceAfterMs?: number;
  readonly retryMs?: number;
  readonly lookMs?: number;
}

/** With `force` a phase waits so long for proxies that do not acknowledge. */
export const FORCE_AFTER_MS = 15_000;
const RETRY_MS = 1000;
/** There is a quarter of its life in which to replace an intermediate. */
const SCHEDULE_RETRY_MS = 60_000;
/** How often the intermediate's age, the CA's trust, and pods that are gone are looked at. */
const LOOK_MS = 1000;

/**
 * Takes a rotation of the CA's keys through its phases: each begins with a durable step of the CA, then every proxy is told, and
 * it ends when all of them have acknowledged. Where it stands is in the CA's manifest and nowhere else, so that a control plane
 * that was killed goes on where it was; acknowledgements are asked for anew.
 */
export class RotationDriver {
  readonly #options: RotationDriverOptions;
  readonly #clock: () => number;
  readonly #push: TrustPush;
  #driving = false;
  #closed = false;
  #problem: string | null = null;
  /** When this process began to wait for the phase under way, by performance.now(). */
  #phaseBeganMs = 0;
  #nextScheduledMs = 0;
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RotationDriverOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
    this.#push = new TrustPush({ wanted: () => this.#wanted(), onNews: () => this.#wake?.() });
  }

  /** Goes on with a rotation that was under way, and from now on replaces an intermediate that comes into its last quarter. */
  start(): void {
    this.#timer = setInterval(() => this.#look(), this.#options.lookMs ?? LOOK_MS);
    this.#timer.unref();
    void this.#drive();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#wake?.();
  }

  /** A proxy has connected: before it is told anything else it follows the CA. */
  welcome(pod: string, peer: FollowerPeer): void {
    this.#push.add(pod, peer);
  }

  /** A CA from outside has been replaced: every proxy follows it at once. */
  caReplaced(): void {
    this.#push.pushAll();
  }

  /**
   * Starts a rotation, or joins the one of its kind that is under way.
   * @throws {BulwarkError} BW_CA_ROTATION_UNDER_WAY: one of the other kind is; BW_CA_REPLICAS: a root, which others have too; BW_CA_REPLICA_BEHIND,
   * BW_CA_PLUGGED_IN, BW_CA_ROOT_KEY_AWAY, BW_KEYSTORE_…, BW_CA_STORE_….
   */
  async rotate(kind: RotationKind, how: Omit<RotationStart, "kind">): Promise<RotationReport> {
    const { force } = how;
    const overlapMs = how.overlapMs ?? this.#options.overlapMs?.() ?? 0;
    const underWay = this.#options.ca.manifest?.rotation;
    if (underWay === undefined) await this.#begin({ ...how, kind, overlapMs });
    else if (underWay.kind !== kind)
      throw new BulwarkError(
        "BW_CA_ROTATION_UNDER_WAY",
        `the ${underWay.kind} is being replaced (phase ${underWay.phase}): the ${kind} can be when that is done`,
      );
    else if (force && !underWay.force) await this.#options.ca.rotate(forceRotation);
    void this.#drive();
    this.#wake?.();
    return this.report();
  }

  report(): RotationReport {
    const { manifest, issuer } = this.#options.ca;
    const { rotation = null, lastRotation = null } = manifest ?? {};
    return {
      rotation,
      last: lastRotation,
      proxies: this.#options.proxies().length,
      waitingFor: rotation === null ? [] : this.#waitingFor(),
      overlapUntil: this.#overlapLeftMs() > 0 ? new Date(this.#overlapEndMs()).toISOString() : null,
      problem: this.#problem ?? this.#options.replicas?.behind ?? null,
      authorities: {
        roots: manifest?.roots ?? [],
        intermediate: issuer.keyId,
        intermediateNotAfter: issuer.notAfter.toISOString(),
      },
    };
  }

  /** Two that ask for the same at once get one rotation. */
  async #begin(start: RotationStart): Promise<void> {
    const { ca, replicas } = this.#options;
    const isShared = start.kind === "root" && ca.manifest !== undefined;
    if (isShared) await replicas?.beginRoot(start.force);
    try {
      await this.#step(startRotation(start));
    } catch (error) {
      if (ca.manifest?.rotation?.kind !== start.kind) throw error;
    } finally {
      if (isShared) replicas?.rootBegun();
    }
  }

  /** One at a time. Never rejects. */
  async #drive(): Promise<void> {
    if (this.#driving) return;
    this.#driving = true;
    this.#phaseBeganMs = performance.now();
    while (!this.#closed && this.#options.ca.manifest?.rotation !== undefined) {
      const missing = await this.#untilAcknowledged();
      if (this.#closed) break;
      await this.#tryStep(endPhase(missing));
    }
    this.#driving = false;
  }

  /** @returns proxies that a forced phase goes on without. */
  async #untilAcknowledged(): Promise<readonly string[]> {
    for (;;) {
      const missing = this.#waitingFor().map(({ pod }) => pod);
      const isForced = this.#options.ca.manifest?.rotation?.force === true;
      const waitedMs = performance.now() - this.#phaseBeganMs;
      const isLate = waitedMs >= (this.#options.forceAfterMs ?? FORCE_AFTER_MS);
      const mayEnd = (missing.length === 0 || (isForced && isLate)) && this.#overlapLeftMs() <= 0;
      if (this.#closed || mayEnd) return missing;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #overlapEndMs(): number {
    const rotation = this.#options.ca.manifest?.rotation;
    return rotation?.phase === "new-signs" ? Date.parse(rotation.phaseSince) + rotation.overlapMs : 0;
  }

  #overlapLeftMs(): number {
    return this.#overlapEndMs() - this.#clock();
  }

  #waitingFor(): readonly WaitingProxy[] {
    return this.#options.proxies().flatMap((pod) => {
      const why = this.#push.whyNot(pod);
      return why === undefined ? [] : [{ pod, why }];
    });
  }

  /** What fails (a full disk, a root's key that is away) is tried again: a rotation that has begun must come to its end. */
  async #tryStep(step: RotationStep): Promise<void> {
    try {
      await this.#step(step);
      this.#problem = null;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== this.#problem) this.#options.onProblem(message);
      this.#problem = message;
      await new Promise((resolve) => setTimeout(resolve, this.#options.retryMs ?? RETRY_MS).unref());
    }
  }

  async #step(step: RotationStep): Promise<void> {
    const { ca, onPhase } = this.#options;
    await ca.rotate(step);
    this.#phaseBeganMs = performance.now();
    this.#push.pushAll();
    void this.#options.replicas?.publish();
    onPhase(ca.manifest?.rotation ?? null, ca.manifest?.lastRotation ?? null);
  }

  #look(): void {
    this.#wake?.();
    // Whoever changes what the CA signs by, or trusts, need not tell: a plugged-in CA is read again by itself.
    this.#push.pushAll();
    const { ca } = this.#options;
    if (this.#driving || ca.manifest === undefined || ca.manifest.rotation !== undefined) return;
    if (!isDue(ca.issuer, this.#clock()) || performance.now() < this.#nextScheduledMs) return;
    this.#nextScheduledMs = performance.now() + SCHEDULE_RETRY_MS;
    this.rotate("intermediate", { force: false, by: "schedule" }).catch((error: Error) => {
      if (error.message !== this.#problem) this.#options.onProblem(error.message);
      this.#problem = error.message;
    });
  }

  #wanted(): TrustUpdate {
    const { issuer, trustBundlePem } = this.#options.ca;
    return { issuerKeyId: issuer.keyId, trustBundlePem };
  }
}
