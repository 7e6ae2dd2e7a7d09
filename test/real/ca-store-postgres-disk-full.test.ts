/** A disk that is full under the PostgreSQL that keeps a CA's records: nothing is acknowledged that is not kept, and all goes on once there is room. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PostgresCaStore } from "../../src/identity/store/postgres-ca-store.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { allIssued, auditRecord, issuedRecord } from "../identity/store/ca-store-conformance.ts";
import { temporaryFolder, until } from "./live-mesh.ts";
import { PostgresServer } from "./postgres-server.ts";
import { program, run } from "./programs.ts";

const DISK_BYTES = 160 << 20;
/** A server that panicked, since its log found no room, is started again by its supervisor; here by the test. */
const PATIENCE_MS = 60_000;
const REFUSALS = new Set([
  "BW_CA_STORE_FULL",
  "BW_CA_STORE_UNAVAILABLE",
  "BW_CA_STORE_BUSY",
  "BW_CA_STORE_IO",
]);

function fill(disk: string): () => void {
  const file = join(disk, "filler");
  for (const size of [1 << 20, 4096])
    for (;;) {
      try {
        writeFileSync(file, Buffer.alloc(size), { flag: "a" });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
        break;
      }
    }
  return () => rmSync(file);
}

test("a full disk under PostgreSQL refuses changes, loses none that was acknowledged, and all goes on once there is room", async (t) => {
  assert.equal(process.getuid?.(), 0, "mounting a tmpfs needs root");
  const disk = temporaryFolder();
  const mounted = await run(program("mount"), [
    "-t",
    "tmpfs",
    "-o",
    `size=${DISK_BYTES},mode=755`,
    "bulwark-test",
    disk,
  ]);
  assert.equal(mounted.code, 0, mounted.stderr);
  t.after(async () => {
    await run(program("umount"), ["--lazy", disk]);
    rmSync(disk, { recursive: true, force: true });
  });
  const { TMPDIR } = process.env;
  process.env.TMPDIR = disk;
  const server = await PostgresServer.start().finally(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  });
  t.after(() => server.dispose());
  const store = await PostgresCaStore.open(server.address("schema=crowded"));
  t.after(() => store.close());
  const acknowledged: string[] = [];
  const issue = async (): Promise<string | undefined> => {
    const record = issuedRecord();
    return store.recordIssued(record).then(
      () => void acknowledged.push(record.serial),
      (error: unknown) => (error instanceof BulwarkError ? error.code : `no BulwarkError: ${error}`),
    );
  };
  for (let i = 0; i < 50; i++) await issue();
  const makeRoom = fill(disk);
  let refused: string | undefined;
  // The log's segments are there already: they take records until one is full.
  for (let i = 0; refused === undefined && i < 2000; i++) {
    await Promise.all(
      Array.from({ length: 20 }, () =>
        store.audit(auditRecord({ message: "x".repeat(2000) })).catch(() => undefined),
      ),
    );
    refused = await issue();
  }
  assert.ok(refused !== undefined && REFUSALS.has(refused), `${refused}`);
  t.diagnostic(`${refused} after ${acknowledged.length} certificates`);
  makeRoom();
  await server.kill();
  await server.up();
  const found = async () => new Set((await allIssued(store)).map(({ serial }) => serial));
  await until(
    () =>
      found().then(
        () => true,
        () => false,
      ),
    "the store answers",
    PATIENCE_MS,
  );
  const kept = await found();
  assert.deepEqual(
    acknowledged.filter((serial) => !kept.has(serial)),
    [],
  );
  assert.equal(await issue(), undefined, "there is room again");
});
