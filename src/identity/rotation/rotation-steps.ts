import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type Manifest, withIntermediate, writeManifest } from "../ca-manifest.ts";
import { type CaState, type CaStateOptions, createAuthority, loadCaState, openIssuer } from "../ca-state.ts";
import { removePrivateFile } from "../key-store.ts";
import { FileKeyStore } from "../keys/file-key-store.ts";
import type { Rotation, RotationKind } from "./rotation.ts";

/**
 * The steps of a rotation. Each makes what it needs first and then places one new manifest: killed anywhere, a CA is found as it
 * was before the step or as it is after it, and files that no manifest names are swept away by the last step.
 */
export type RotationStep = (state: CaState, options: CaStateOptions) => Promise<CaState>;

export interface RotationStart {
  readonly kind: RotationKind;
  /** `cli`, `schedule`, `drill`. */
  readonly by: string;
  readonly force: boolean;
  /** As Rotation has it; default 0. */
  readonly overlapMs?: number;
}

/**
 * Makes the successor, which is not used for anything yet: a root that is to be trusted beside the old, or an intermediate that
 * signs from now on.
 * @throws {BulwarkError} BW_CA_PLUGGED_IN, BW_CA_ROTATION_UNDER_WAY, BW_CA_ROOT_KEY_AWAY, and those of the key store.
 */
export function startRotation(start: RotationStart): RotationStep {
  return async (state, options) => {
    const manifest = manifestOf(state);
    if (manifest.rotation !== undefined)
      throw new BulwarkError("BW_CA_ROTATION_UNDER_WAY", "a rotation of the CA's keys is under way");
    const made =
      start.kind === "root"
        ? await createAuthority(state.folder, keysOf(state, options), options)
        : await newIntermediate(state, options, manifest.signingRoot);
    const to = made.subjectKeyId.toString("hex");
    const startedAt = new Date(options.nowMs).toISOString();
    const { kind, by, force, overlapMs = 0 } = start;
    const how = { id: randomUUID(), kind, by, force, overlapMs };
    const common = { ...how, to, startedAt, phaseSince: startedAt, passedOver: [] };
    return place(
      state,
      options,
      start.kind === "root"
        ? {
            ...manifest,
            roots: [...manifest.roots, to],
            rotation: { ...common, phase: "both-trusted", from: manifest.signingRoot },
          }
        : {
            ...withIntermediate(manifest, to),
            rotation: { ...common, phase: "new-signs", from: manifest.intermediate },
          },
    );
  };
}

/**
 * Ends a phase, and takes what the next one needs into force.
 * @param passedOver proxies that had not acknowledged.
 * @throws {BulwarkError} BW_CA_ROTATION_NONE, BW_CA_ROOT_KEY_AWAY, and those of the key store.
 */
export function endPhase(passedOver: readonly string[]): RotationStep {
  return async (state, options) => {
    const manifest = manifestOf(state);
    const rotation = rotationOf(manifest);
    const now = new Date(options.nowMs).toISOString();
    const known = [...new Set([...rotation.passedOver, ...passedOver])];
    const next = { ...rotation, phaseSince: now, passedOver: known };
    if (rotation.phase === "both-trusted") {
      const intermediate = await newIntermediate(state, options, rotation.to);
      return place(state, options, {
        ...withIntermediate(manifest, intermediate.subjectKeyId.toString("hex")),
        signingRoot: rotation.to,
        rotation: { ...next, phase: "new-signs" },
      });
    }
    if (rotation.phase === "new-signs") {
      const roots = rotation.kind === "root" ? [rotation.to] : manifest.roots;
      return place(state, options, { ...manifest, roots, rotation: { ...next, phase: "old-removed" } });
    }
    return await finish(state, options, manifest, next);
  };
}

/** From now on does not wait for ever for proxies that are silent. @throws {BulwarkError} BW_CA_ROTATION_NONE */
export const forceRotation: RotationStep = (state, options) => {
  const manifest = manifestOf(state);
  return place(state, options, { ...manifest, rotation: { ...rotationOf(manifest), force: true } });
};

/** Keys first, then the note that it is done: killed in between, the sweep is made again. */
async function finish(
  state: CaState,
  options: CaStateOptions,
  manifest: Manifest,
  rotation: Rotation,
): Promise<CaState> {
  await sweep(state, options, manifest);
  const { id, kind, startedAt, by, from, to, passedOver } = rotation;
  const finishedAt = new Date(options.nowMs).toISOString();
  const { rotation: _, ...rest } = manifest;
  const lastRotation = { id, kind, startedAt, finishedAt, by, from, to, passedOver };
  return place(state, options, { ...rest, lastRotation });
}

const FILE = /^(root|intermediate)-([0-9a-f]{40})\.(key|crt)\.pem$/;

/** Deletes every key and certificate that the manifest does not name: the old ones, and what killed processes left half made. */
async function sweep(state: CaState, options: CaStateOptions, manifest: Manifest): Promise<void> {
  const keys = keysOf(state, options);
  const named = { root: new Set(manifest.roots), intermediate: new Set([manifest.intermediate]) };
  const { rotation } = manifest;
  // Where keys are not files the folder does not tell of the old one.
  if (rotation !== undefined) await keys.destroy(rotation.kind, rotation.from);
  for (const name of readdirSync(state.folder)) {
    const [, role, id = "", content] = FILE.exec(name) ?? [];
    if ((role !== "root" && role !== "intermediate") || named[role].has(id)) continue;
    if (content === "key") await keys.destroy(role, id);
    // The certificate last: it is what tells that there may be a key elsewhere.
    else await keys.destroy(role, id).then(() => removePrivateFile(join(state.folder, name)));
  }
}

async function newIntermediate(state: CaState, options: CaStateOptions, root: string) {
  const keys = keysOf(state, options);
  const issuer = (await keys.open("root", root)) && (await openIssuer(state.folder, keys, "root", root));
  if (issuer === undefined)
    throw new BulwarkError(
      "BW_CA_ROOT_KEY_AWAY",
      `the key of root ${root} is not in ${keys.name}: a new intermediate needs its signature; put it back, and try again`,
    );
  return await createAuthority(state.folder, keys, options, issuer);
}

function place({ folder }: CaState, options: CaStateOptions, manifest: Manifest): Promise<CaState> {
  writeManifest(folder, manifest);
  return loadCaState(folder, options);
}

function manifestOf({ manifest }: CaState): Manifest {
  if (manifest !== undefined) return manifest;
  throw new BulwarkError(
    "BW_CA_PLUGGED_IN",
    "the CA's certificates are plugged in from outside: whoever made them replaces them",
  );
}

function rotationOf({ rotation }: Manifest): Rotation {
  if (rotation !== undefined) return rotation;
  throw new BulwarkError("BW_CA_ROTATION_NONE", "no rotation of the CA's keys is under way");
}

function keysOf({ folder }: CaState, { keys }: CaStateOptions) {
  return keys ?? new FileKeyStore(folder);
}
