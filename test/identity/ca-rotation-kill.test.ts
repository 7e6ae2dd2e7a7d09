/** A process that is killed between any two changes of the disk: from there on nothing that it would have done happens. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fs, { cpSync, readdirSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type CaState, loadCaState } from "../../src/identity/ca-state.ts";
import { KEY_ALGORITHMS } from "../../src/identity/key-algorithm.ts";
import type { RotationKind } from "../../src/identity/rotation/rotation.ts";
import { endPhase, type RotationStep, startRotation } from "../../src/identity/rotation/rotation-steps.ts";
import { CLUSTER_LOCAL, temporaryFolder } from "./mesh-fixture.ts";

/** Everything by which the CA's folder changes. */
const CHANGES = ["writeFileSync", "renameSync", "linkSync", "rmSync"] as const;

class Killed extends Error {}

/** Runs until the disk has been changed so often; true when it came to its end before. */
async function killedAfter(t: TestContext, changes: number, work: () => Promise<void>): Promise<boolean> {
  let left = changes;
  const mocks = CHANGES.map((name) => {
    const original = fs[name] as (...args: unknown[]) => unknown;
    return t.mock.method(fs, name, (...args: unknown[]) => {
      if (left <= 0) throw new Killed();
      left -= 1;
      return original(...args);
    });
  });
  syncBuiltinESMExports();
  try {
    await work();
    return true;
  } catch (error) {
    if (left <= 0) return false;
    throw error;
  } finally {
    for (const { mock } of mocks) mock.restore();
    syncBuiltinESMExports();
  }
}

const OPTIONS = {
  trustDomain: CLUSTER_LOCAL,
  algorithm: KEY_ALGORITHMS["ecdsa-p256"],
  rootTtlSeconds: 86_400,
  intermediateTtlSeconds: 3600,
  nowMs: Date.now(),
};

/** What a control plane does from where the folder stands, with proxies that acknowledge at once. @returns the last state. */
async function rotate(
  folder: string,
  kind: RotationKind,
  onState: (state: CaState) => void = () => {},
): Promise<CaState> {
  let state = await loadCaState(folder, OPTIONS);
  const go = async (step: RotationStep) => {
    onState(state);
    state = await step(state, OPTIONS);
  };
  if (state.manifest?.rotation === undefined && state.manifest?.lastRotation === undefined)
    await go(startRotation({ kind, by: "cli", force: false }));
  while (state.manifest?.rotation !== undefined) await go(endPhase([]));
  return state;
}

/** Whether certificates of this signer pass where these roots are trusted. */
function isTrusted({ signer }: CaState, { roots }: CaState): boolean {
  return roots.some(({ certificate }) => signer.x509.verify(new X509Certificate(certificate).publicKey));
}

for (const kind of ["root", "intermediate"] as const) {
  test(`a rotation of the ${kind} that is killed between any two changes of the disk goes on, and no proxy meets a signer that it does not trust`, async (t) => {
    // A kill, not a power cut: what is written stays.
    t.mock.method(fs, "fsyncSync", () => {});
    syncBuiltinESMExports();
    const made = join(temporaryFolder(t), "ca");
    const before = await loadCaState(made, OPTIONS);
    let kills = 0;
    for (let changes = 0; ; changes++) {
      const folder = join(temporaryFolder(t), "ca");
      cpSync(made, folder, { recursive: true });
      // What proxies have acknowledged when a step begins is what was in force before it.
      let held = before;
      const ended = await killedAfter(t, changes, async () => {
        await rotate(folder, kind, (state) => {
          held = state;
        });
      });
      if (ended) break;
      kills += 1;
      const when = `after ${changes} changes`;
      const found = await loadCaState(folder, OPTIONS);
      assert.ok(isTrusted(found, held) && isTrusted(held, found), when);
      const { manifest, ...after } = await rotate(folder, kind);
      assert.equal(manifest?.lastRotation?.kind, kind, when);
      assert.equal(manifest?.signingRoot === before.manifest?.signingRoot, kind === "intermediate");
      assert.notEqual(manifest?.intermediate, before.manifest?.intermediate);
      assert.ok(isTrusted({ ...after }, { ...after }));
      const keys = readdirSync(folder).filter((name) => name.endsWith(".key.pem"));
      const named = [
        `root-${manifest?.signingRoot}.key.pem`,
        `intermediate-${manifest?.intermediate}.key.pem`,
      ];
      assert.deepEqual(new Set(keys), new Set(named), when);
    }
    t.diagnostic(`${kills} kills`);
    assert.ok(kills >= 15);
  });
}
