/**
 * What a mesh keeps in files, killed, torn or out of room at every single change of the disk: what was acknowledged is still so, what is found can be used, and the same
 * work done again comes to its end. Records are in databases, which have tests of their own (test/identity/store, test/real/ca-store-…).
 */
import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import fs, { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { identifyProcess } from "../../src/control/process-identity.ts";
import { lockState, readRunBook, writeRunBook } from "../../src/control/run-book.ts";
import { createStateFolder, stateFolderAt } from "../../src/control/state-folder.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import { TokenFiles } from "../../src/control/token-files.ts";
import { type CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import { JwtSvidKeys } from "../../src/identity/jwt-svid/jwt-svid-keys.ts";
import { readPrivateFile, readPrivateKey, writePrivateFile } from "../../src/identity/key-store.ts";
import { FileKeyStore } from "../../src/identity/keys/file-key-store.ts";
import { RefusedPin } from "../../src/identity/keys/refused-pin.ts";
import type { RotationKind } from "../../src/identity/rotation/rotation.ts";
import { endPhase, startRotation } from "../../src/identity/rotation/rotation-steps.ts";
import { openTokenIssuer } from "../../src/identity/service-account-token.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import type { PodAssignment } from "../../src/substrate/assignment.ts";
import { memoryCaStore } from "../identity/memory-ca-store.ts";
import { CLUSTER_LOCAL } from "../identity/mesh-fixture.ts";
import { FAULTS, type Fault, withFault } from "../identity/write-points.ts";

interface Subject {
  /** What is there before. */
  readonly prepare?: (folder: string) => Promise<void> | void;
  /** Done with the fault, and again without it; calls `acknowledge` with what somebody was told. */
  readonly work: (folder: string, acknowledge: (what: string) => void) => Promise<void>;
  /** After the fault, before the work is done again: what is found can be used, and holds what was acknowledged. */
  readonly check: (folder: string, acknowledged: readonly string[]) => Promise<void> | void;
  /** The least number of changes of the disk that there must have been. */
  readonly least: number;
  /** Default: all. Where a key is derived for seconds, one: files are written in one way everywhere. */
  readonly faults?: readonly Fault[];
}

function atEveryWritePoint(what: string, subject: Subject): void {
  test(`${what}: killed, torn or out of room at every change of the disk`, async (t) => {
    // A kill, not a power cut: what is written stays.
    t.mock.method(fs, "fsyncSync", () => {});
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    const made = folderOf(t);
    await subject.prepare?.(made);
    for (const fault of subject.faults ?? FAULTS)
      for (let at = 0; ; at++) {
        const folder = folderOf(t);
        cpSync(made, folder, { recursive: true });
        const acknowledged: string[] = [];
        const done = await withFault(t, fault, at, () =>
          subject.work(folder, (told) => acknowledged.push(told)),
        );
        if (!done.met) {
          t.diagnostic(`${fault} at ${at} changes`);
          assert.ok(at >= subject.least, `${at} changes`);
          assert.equal(done.error, undefined);
          break;
        }
        const when = `${fault} at change ${at}`;
        if (done.error !== undefined) {
          assert.equal(fault, "full", `${when}: ${done.error}`);
          assert.ok(done.error instanceof BulwarkError, `${when}: ${done.error}`);
        }
        try {
          await subject.check(folder, acknowledged);
          const again: string[] = [];
          await subject.work(folder, (told) => again.push(told));
          await subject.check(folder, again);
        } catch (error) {
          assert.fail(`${when}: ${error instanceof Error ? error.stack : error}`);
        }
        rmSync(folder, { recursive: true, force: true });
      }
  });
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "write-points-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const PASSPHRASE = "correct horse";

/** Its records are kept in memory: they outlive a fault, and a copy of the folder, as those in a database do. */
function opener() {
  const store = memoryCaStore();
  return (folder: string, passphrase?: string): Promise<CertificateAuthority> => {
    const keys = passphrase === undefined ? {} : { keys: new FileKeyStore(join(folder, "ca"), passphrase) };
    return openCa(folder, { trustDomain: CLUSTER_LOCAL, store, ...keys });
  };
}

const open = opener();

atEveryWritePoint("a CA's first start", {
  least: 20,
  work: async (folder, acknowledge) => acknowledge((await open(folder)).trustBundlePem),
  check: async (folder, [roots]) => {
    const ca = await open(folder);
    if (roots !== undefined) assert.equal(ca.trustBundlePem, roots);
    assert.ok(existsSync(join(folder, "ca", "records.id")));
  },
});

atEveryWritePoint("encrypting the CA's keys", {
  faults: ["torn"],
  least: 4,
  prepare: async (folder) => void (await open(folder)),
  work: async (folder, acknowledge) => acknowledge((await open(folder, PASSPHRASE)).issuer.keyId),
  check: async (folder, [issuer]) => {
    const ca = await open(folder, PASSPHRASE);
    if (issuer !== undefined) assert.equal(ca.issuer.keyId, issuer);
  },
});

for (const kind of ["root", "intermediate"] as const satisfies readonly RotationKind[])
  atEveryWritePoint(`replacing the ${kind}`, {
    least: kind === "root" ? 30 : 18,
    prepare: async (folder) => void (await open(folder)),
    work: async (folder, acknowledge) => {
      const ca = await open(folder);
      const { lastRotation } = ca.manifest ?? {};
      if (lastRotation === undefined && ca.manifest?.rotation === undefined)
        await ca.rotate(startRotation({ kind, by: "cli", force: false }));
      acknowledge(`${ca.manifest?.rotation?.id ?? lastRotation?.id}`);
      while (ca.manifest?.rotation !== undefined) await ca.rotate(endPhase([]));
    },
    check: async (folder, [id]) => {
      const { manifest } = await open(folder);
      if (id !== undefined) assert.equal(manifest?.rotation?.id ?? manifest?.lastRotation?.id, id);
      const keys = readdirSync(join(folder, "ca"));
      for (const name of [`root-${manifest?.signingRoot}`, `intermediate-${manifest?.intermediate}`])
        for (const end of [".key.pem", ".crt.pem"]) assert.ok(keys.includes(name + end), name + end);
    },
  });

atEveryWritePoint(
  "a file that is written over (the admin token, assignments, configurations, keys' caches)",
  {
    least: 4,
    prepare: (folder) => void writePrivateFile(join(folder, "file"), "of before"),
    work: async (folder, acknowledge) => {
      writePrivateFile(join(folder, "file"), "of now");
      acknowledge("of now");
    },
    check: (folder, [now]) => {
      const found = readPrivateFile(join(folder, "file"));
      assert.ok(
        now === undefined ? ["of before", "of now"].includes(found ?? "") : found === now,
        String(found),
      );
    },
  },
);

atEveryWritePoint("the state folder, its lock and its run book", {
  least: 8,
  work: async (folder, acknowledge) => {
    const state = createStateFolder(join(folder, "state"));
    const release = lockState(state);
    const supervisor = identifyProcess(process.pid) ?? assert.fail();
    writeRunBook(state, {
      supervisor,
      startedAt: "2026-11-22T12:00:00Z",
      children: [],
      sources: ["mesh.yaml"],
    });
    acknowledge("booked");
    release();
  },
  check: (folder, [booked]) => {
    const state = stateFolderAt(join(folder, "state"));
    // Whoever was killed runs no more: this process stands in for it.
    rmSync(isOwn(state.lock) ? state.lock : join(folder, "none"), { force: true });
    if (booked !== undefined) assert.deepEqual(readRunBook(state)?.sources, ["mesh.yaml"]);
    if (existsSync(state.runBook)) assert.ok(readRunBook(state), "whole or not there");
  },
});

function isOwn(lock: string): boolean {
  try {
    return (JSON.parse(readFileSync(lock, "utf8")) as { pid: number }).pid === process.pid;
  } catch {
    return false;
  }
}

atEveryWritePoint("the token issuer's key", {
  least: 5,
  work: async (folder, acknowledge) => acknowledge(JSON.stringify((await openTokenIssuer(folder)).jwks)),
  check: async (folder, [jwks]) => {
    if (jwks !== undefined) assert.equal(JSON.stringify((await openTokenIssuer(folder)).jwks), jwks);
  },
});

const POD: PodAssignment = {
  name: "teller-0",
  namespace: "bank",
  workload: "bank/teller",
  replica: 0,
  address: "127.0.0.1",
  uid: "uid",
  serviceAccount: "teller",
  spiffeId: "spiffe://cluster.local/ns/bank/sa/teller",
  role: "application",
  proxied: true,
  outboundSecret: "",
  applicationPorts: [],
};

atEveryWritePoint("pods' tokens", {
  least: 8,
  prepare: (folder) => void createStateFolder(folder),
  work: async (folder, acknowledge) => {
    const state = stateFolderAt(folder);
    const tokens = await TokenFiles.open(state, (message) => assert.fail(message));
    try {
      await tokens.apply([POD]);
      acknowledge(readFileSync(tokenFile(state, "bank/teller-0"), "utf8"));
    } finally {
      tokens.close();
    }
  },
  check: (folder, [token]) => {
    const found = readPrivateFile(tokenFile(stateFolderAt(folder), "bank/teller-0"));
    if (token !== undefined) assert.equal(found, token);
    if (found !== undefined) assert.match(found, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  },
});

const HOUR_MS = 3_600_000;

atEveryWritePoint("the keys of JWT-SVIDs, when one takes the place of another", {
  least: 5,
  prepare: async (folder) => void (await JwtSvidKeys.open(join(folder, "jwt"), { clock: () => 0 })),
  work: async (folder, acknowledge) => {
    const keys = await JwtSvidKeys.open(join(folder, "jwt"), { clock: () => 10_000 * HOUR_MS });
    acknowledge(keys.authorities.map(({ kid }) => kid).join());
  },
  check: async (folder, [kids]) => {
    const keys = await JwtSvidKeys.open(join(folder, "jwt"), { clock: () => 0 });
    if (kids !== undefined) assert.equal(keys.authorities.map(({ kid }) => kid).join(), kids);
    for (const { kid, privateKey } of [keys.signing])
      assert.ok(kid !== "" && createPublicKey(privateKey).asymmetricKeyType === "ec");
  },
});

atEveryWritePoint("a PIN that its token refused", {
  faults: ["torn"],
  least: 4,
  work: async (folder, acknowledge) => {
    new RefusedPin(join(folder, "pin-refused")).note("1357");
    acknowledge("noted");
  },
  check: (folder, [noted]) => {
    const pin = new RefusedPin(join(folder, "pin-refused"));
    if (noted !== undefined) assert.throws(() => pin.check("1357"), { code: "BW_PKCS11_PIN" });
    assert.doesNotThrow(() => pin.check("2468"));
  },
});

test("a key that was torn on its way is not found: its place holds none", async (t) => {
  const folder = folderOf(t);
  const done = await withFault(t, "torn", 1, async () => void (await openTokenIssuer(folder)));
  assert.ok(done.met);
  const named = readdirSync(folder, { recursive: true }).filter((name) => String(name).endsWith("key.pem"));
  assert.deepEqual(
    named.map((name) => readPrivateKey(join(folder, String(name)))),
    [],
  );
});
