/** What `bulwark ca rotate-…`, control and proxies say to each other while the CA's keys are replaced. */
import type { FinishedRotation, Rotation, RotationKind } from "../../identity/rotation/rotation.ts";

/** `trust` to a proxy: who signs now, and whom to trust. */
export interface TrustUpdate {
  /** Key identifier of the intermediate. */
  readonly issuerKeyId: string;
  readonly trustBundlePem: string;
}

/**
 * Its answer, once both are in force and no handshake is under way that began before. Both empty: it has no certificate (its identity was
 * revoked, say), so that it refuses everything, and follows with the next one that it gets.
 */
export interface TrustAnswer {
  readonly issuerKeyId: string;
  /** SHA-256 of the bundle's text, hexadecimal. */
  readonly bundle: string;
}

/** `ca.rotate` */
export interface RotateParams {
  readonly kind: RotationKind;
  readonly force: boolean;
  /** Undefined: what the control plane takes for needed. */
  readonly overlapMs?: number;
}

/** A proxy that a phase waits for. */
export interface WaitingProxy {
  readonly pod: string;
  readonly why: string;
}

/** `ca.rotation`, and the answer to `ca.rotate`. */
export interface RotationReport {
  readonly rotation: Rotation | null;
  readonly last: FinishedRotation | null;
  /** Proxies in all, and those that the phase under way waits for. */
  readonly proxies: number;
  readonly waitingFor: readonly WaitingProxy[];
  /** All have acknowledged, and the old is trusted until then all the same (RFC 3339). */
  readonly overlapUntil: string | null;
  /** Why the next step could not be made; it is tried again. */
  readonly problem: string | null;
  readonly authorities: {
    /** Key identifiers. */
    readonly roots: readonly string[];
    readonly intermediate: string;
    readonly intermediateNotAfter: string;
  };
}
