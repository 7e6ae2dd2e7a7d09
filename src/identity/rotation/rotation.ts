/** Which key of the CA is replaced. */
export type RotationKind = "root" | "intermediate";

/**
 * How far a replacement is. Each phase ends when every proxy has acknowledged it.
 *
 * - `both-trusted`: proxies are told of the new root beside the old; the old still signs. Roots only: an intermediate travels with
 *   the certificates that it signed, and its root vouches for it.
 * - `new-signs`: every proxy gets a certificate under the new signer; the old is still trusted.
 * - `old-removed`: proxies are told to trust the new alone. After it the old keys are deleted.
 */
export type RotationPhase = "both-trusted" | "new-signs" | "old-removed";

/** A replacement under way, as the CA's manifest keeps it. */
export interface Rotation {
  /** Apart from the one before and the one after. */
  readonly id: string;
  readonly kind: RotationKind;
  readonly phase: RotationPhase;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly phaseSince: string;
  /** Who asked for it: `cli`, `schedule`, `drill`. */
  readonly by: string;
  /** Do not wait for ever for proxies that are silent. */
  readonly force: boolean;
  /** Key identifiers. For an intermediate, those of the intermediates. */
  readonly from: string;
  readonly to: string;
  /** Proxies that a forced phase went on without. */
  readonly passedOver: readonly string[];
  /** How long the old goes on being trusted at least, beside the new that signs: for those who do not acknowledge. */
  readonly overlapMs: number;
}

/** The last replacement that came to its end. */
export interface FinishedRotation {
  readonly id: string;
  readonly kind: RotationKind;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly by: string;
  readonly from: string;
  readonly to: string;
  readonly passedOver: readonly string[];
}

/** Key identifiers become file names, so nothing else may pass for one. */
export function isKeyId(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{40}$/.test(value);
}

const PHASES: readonly RotationPhase[] = ["both-trusted", "new-signs", "old-removed"];

/** @returns undefined for undefined. */
export function parseRotation(value: unknown): Rotation | "damaged" | undefined {
  if (value === undefined) return undefined;
  const common = parseCommon(value);
  const { phase, phaseSince, force, overlapMs } = fieldsOf(value);
  const known = PHASES.find((candidate) => candidate === phase);
  if (common === undefined || known === undefined) return "damaged";
  if (typeof phaseSince !== "string" || typeof force !== "boolean") return "damaged";
  if (typeof overlapMs !== "number" || !(overlapMs >= 0)) return "damaged";
  return { ...common, phase: known, phaseSince, force, overlapMs };
}

/** What is past is only told of: one that cannot be read is none. */
export function parseFinished(value: unknown): FinishedRotation | undefined {
  const common = parseCommon(value);
  const { finishedAt } = fieldsOf(value);
  return common === undefined || typeof finishedAt !== "string" ? undefined : { ...common, finishedAt };
}

function parseCommon(value: unknown): Omit<FinishedRotation, "finishedAt"> | undefined {
  const { id, kind, startedAt, by, from, to, passedOver } = fieldsOf(value);
  if (kind !== "root" && kind !== "intermediate") return undefined;
  if (typeof id !== "string" || typeof startedAt !== "string" || typeof by !== "string") return undefined;
  if (!isKeyId(from) || !isKeyId(to)) return undefined;
  if (!Array.isArray(passedOver) || !passedOver.every((name) => typeof name === "string")) return undefined;
  return { id, kind, startedAt, by, from, to, passedOver };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
