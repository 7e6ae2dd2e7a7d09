import { isKeyId } from "../../identity/rotation/rotation.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** A replica's sign of life. */
export interface Beat {
  /** By its own clock (RFC 3339): for people, and where nothing else is known. */
  readonly beatAt: string;
  /** Rises with each. */
  readonly beats: number;
  /** Key identifier of the intermediate that it signs with. */
  readonly issuer: string;
  /** It is ending in order. */
  readonly leaving?: boolean;
}

/** What the replicas of a CA know of each other. */
export interface Register {
  /** Key identifiers of the roots in force; empty while nobody has said. While the root is being replaced, those of before. */
  readonly roots: readonly string[];
  /** The root is being replaced, by whom (a replica's place); the id is empty until its first step is made. */
  readonly rotation?: { readonly id: string; readonly by: string };
  /** By place. */
  readonly replicas: Readonly<Record<string, Beat>>;
}

/** @param text empty while never written. @throws {BulwarkError} BW_CA_STORE_DAMAGED */
export function parseRegister(text: string, storeName: string): Register {
  if (text === "") return { roots: [], replicas: {} };
  try {
    const value: unknown = JSON.parse(text);
    if (isRegister(value)) return value;
  } catch {
    // Told below, as what is no JSON of a register.
  }
  throw new BulwarkError("BW_CA_STORE_DAMAGED", `${storeName}: the register of replicas cannot be read`);
}

function isRegister(value: unknown): value is Register {
  const { roots, rotation, replicas } = fieldsOf(value);
  if (!Array.isArray(roots) || !roots.every(isKeyId)) return false;
  const { id, by } = fieldsOf(rotation);
  if (rotation !== undefined && (typeof id !== "string" || typeof by !== "string")) return false;
  return typeof replicas === "object" && replicas !== null && Object.values(replicas).every(isBeat);
}

function isBeat(value: unknown): boolean {
  const { beatAt, beats, issuer } = fieldsOf(value);
  return typeof beatAt === "string" && typeof beats === "number" && isKeyId(issuer);
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
