import { join } from "node:path";
import { parseTrustDomain, type TrustDomain } from "../model/spiffe-id.ts";
import { readPrivateFile, writePrivateFile } from "./key-store.ts";
import {
  type FinishedRotation,
  isKeyId,
  parseFinished,
  parseRotation,
  type Rotation,
} from "./rotation/rotation.ts";

/**
 * The commit point of the CA's folder: a certificate or key that it does not name does not exist. Written last, in one
 * step, so a kill between files leaves only orphans.
 */
export interface Manifest {
  readonly format: 1;
  readonly trustDomain: TrustDomain;
  /** Key identifiers of every root to trust. */
  readonly roots: readonly string[];
  /** The root whose key signs new intermediates. */
  readonly signingRoot: string;
  readonly intermediate: string;
  /** Intermediates of before, the newest last: certificates of theirs that have not ended are no surprise. */
  readonly formerIntermediates?: readonly string[];
  /** What is being replaced; a CA that was killed meanwhile goes on from here. */
  readonly rotation?: Rotation;
  readonly lastRotation?: FinishedRotation;
}

/** Certificates live 90 days at most, and nobody replaces an intermediate every day. */
const MAX_FORMER = 100;

/** The manifest with another intermediate in force. */
export function withIntermediate(manifest: Manifest, intermediate: string): Manifest {
  const formerIntermediates = [...(manifest.formerIntermediates ?? []), manifest.intermediate].slice(
    -MAX_FORMER,
  );
  return { ...manifest, intermediate, formerIntermediates };
}

const MANIFEST = "ca.json";

/**
 * @returns undefined when there is none, `damaged` when it is there and cannot be read.
 * @throws {BulwarkError} those of the key store.
 */
export function readManifest(folder: string): Manifest | "damaged" | undefined {
  const text = readPrivateFile(join(folder, MANIFEST));
  return text === undefined ? undefined : (parseManifest(text) ?? "damaged");
}

/** @returns false, and nothing is changed, when `exclusive` was asked for and there is one. @throws {BulwarkError} BW_KEYSTORE_IO */
export function writeManifest(
  folder: string,
  manifest: Manifest,
  options: { readonly exclusive?: boolean } = {},
): boolean {
  return writePrivateFile(join(folder, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`, options);
}

function parseManifest(text: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const { format, roots, signingRoot, intermediate } = fields;
  const trustDomain =
    typeof fields.trustDomain === "string" ? parseTrustDomain(fields.trustDomain) : undefined;
  if (format !== 1 || trustDomain === undefined) return undefined;
  if (!Array.isArray(roots) || !roots.every(isKeyId) || !isKeyId(signingRoot) || !isKeyId(intermediate))
    return undefined;
  const rotation = parseRotation(fields.rotation);
  // Of a rotation that cannot be read nobody knows which roots are still needed.
  if (rotation === "damaged") return undefined;
  const lastRotation = parseFinished(fields.lastRotation);
  const former = fields.formerIntermediates;
  const formerIntermediates = Array.isArray(former) && former.every(isKeyId) ? former : undefined;
  return {
    format,
    trustDomain,
    roots,
    signingRoot,
    intermediate,
    ...(formerIntermediates && { formerIntermediates }),
    ...(rotation && { rotation }),
    ...(lastRotation && { lastRotation }),
  };
}
