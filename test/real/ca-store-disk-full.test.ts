/** A disk that is full, or read-only, under the CA's records: nothing is acknowledged that is not kept, and all goes on once there is room. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openCa } from "../../src/identity/ca.ts";
import { SqliteCaStore } from "../../src/identity/store/sqlite-ca-store.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { AUDITOR, CLUSTER_LOCAL, credentials } from "../identity/mesh-fixture.ts";
import { allIssued, auditRecord, issuedRecord, NOW } from "../identity/store/ca-store-conformance.ts";
import { temporaryFolder } from "./live-mesh.ts";
import { program, run } from "./programs.ts";

const DISK_BYTES = 8 << 20;

async function smallDisk(t: TestContext): Promise<string> {
  assert.equal(process.getuid?.(), 0, "mounting a tmpfs needs root");
  const folder = temporaryFolder();
  await mount("-t", "tmpfs", "-o", `size=${DISK_BYTES},mode=700`, "bulwark-test", folder);
  t.after(async () => {
    await run(program("umount"), ["--lazy", folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

async function mount(...args: string[]): Promise<void> {
  const mounted = await run(program("mount"), args);
  assert.equal(mounted.code, 0, mounted.stderr);
}

/** Writes a file until the disk takes no byte more. @returns makes room again. */
function fill(disk: string): () => void {
  const file = join(disk, "filler");
  for (const size of [65_536, 4096, 1])
    for (;;) {
      try {
        writeFileSync(file, Buffer.alloc(size), { flag: "a" });
      } catch (error) {
        assert.ok(error instanceof Error && "code" in error && error.code === "ENOSPC", String(error));
        break;
      }
    }
  return () => rmSync(file);
}

function codeOf(error: unknown): string {
  return error instanceof BulwarkError ? error.code : `no BulwarkError: ${error}`;
}

test("a full disk refuses changes, each told, and loses none that was acknowledged; reading goes on, and so does all once there is room", async (t) => {
  const disk = await smallDisk(t);
  const path = join(disk, "records.sqlite");
  const store = await SqliteCaStore.open(path);
  t.after(() => store.close());
  const acknowledged: string[] = [];
  const issue = async (): Promise<unknown> => {
    const record = issuedRecord();
    return store.recordIssued(record).then(
      () => void acknowledged.push(record.serial),
      (error: unknown) => error,
    );
  };
  for (let i = 0; i < 50; i++) await issue();
  for (let round = 0; round < 3; round++) {
    const makeRoom = fill(disk);
    let refused: unknown;
    // What SQLite has reserved may take a few more.
    for (let i = 0; refused === undefined && i < 20_000; i++) refused = await issue();
    assert.equal(codeOf(refused), "BW_CA_STORE_FULL");
    assert.match(String(refused), /make room/);
    for (const change of [
      store.revoke({ spiffeId: AUDITOR }, { reason: "superseded", by: "test", atMs: 1 }),
      store.audit(auditRecord({ message: "x".repeat(2000) })),
      ...Array.from({ length: 20 }, () => store.recordIssued(issuedRecord())),
    ])
      await change.catch((error: unknown) => assert.equal(codeOf(error), "BW_CA_STORE_FULL"));
    assert.equal((await store.read("x")).version, 0);
    const found = new Set((await allIssued(store)).map(({ serial }) => serial));
    assert.deepEqual(
      acknowledged.filter((serial) => !found.has(serial)),
      [],
    );
    makeRoom();
    assert.equal(await issue(), undefined, "there is room again");
  }
  await store.close();
  const again = await SqliteCaStore.open(path);
  t.after(() => again.close());
  const found = new Set((await allIssued(again)).map(({ serial }) => serial));
  assert.deepEqual(
    acknowledged.filter((serial) => !found.has(serial)),
    [],
  );
  await again.revoke({ spiffeId: AUDITOR }, { reason: "superseded", by: "test", atMs: NOW });
});

test("a CA hands out nothing while the disk under its records is full", async (t) => {
  const disk = await smallDisk(t);
  const ca = await openCa(disk, { trustDomain: CLUSTER_LOCAL });
  t.after(() => ca.close());
  const handedOut = [(await credentials(ca)).issued.serial];
  const makeRoom = fill(disk);
  let refused: unknown;
  while (refused === undefined)
    await credentials(ca).then(
      ({ issued }) => void handedOut.push(issued.serial),
      (error: unknown) => {
        refused = error;
      },
    );
  assert.equal(codeOf(refused), "BW_CA_STORE_FULL");
  makeRoom();
  handedOut.push((await credentials(ca)).issued.serial);
  const recorded = (await allIssued(ca.store)).map(({ serial }) => serial);
  assert.deepEqual(recorded, handedOut.toReversed());
});

test("on a file system that became read-only a CA does not open, and says why", async (t) => {
  const disk = await smallDisk(t);
  await (await openCa(disk, { trustDomain: CLUSTER_LOCAL })).close();
  await mount("-o", "remount,ro", disk);
  await assert.rejects(openCa(disk, { trustDomain: CLUSTER_LOCAL }), {
    code: "BW_CA_STORE_READ_ONLY",
    message: /records\.sqlite cannot be (written|opened)/,
  });
});
