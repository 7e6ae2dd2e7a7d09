import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { openCa } from "../../../src/identity/ca.ts";
import { PRUNE_ROWS, RETENTION } from "../../../src/identity/store/retention.ts";
import { SqliteCaStore } from "../../../src/identity/store/sqlite-ca-store.ts";
import { AUDITOR, CLUSTER_LOCAL, PAYROLL, temporaryFolder } from "../mesh-fixture.ts";
import { allIssued, auditRecord, issuedRecord, NOW, testCaStore } from "./ca-store-conformance.ts";

const HOW = { reason: "keyCompromise", by: "test", atMs: NOW } as const;

testCaStore("SQLite", async (t) => {
  const path = join(temporaryFolder(t), "records.sqlite");
  return { open: () => SqliteCaStore.open(path) };
});

async function filledStore(t: TestContext, records: number): Promise<string> {
  const path = join(temporaryFolder(t), "records.sqlite");
  const store = await SqliteCaStore.open(path);
  await Promise.all(Array.from({ length: records }, () => store.recordIssued(issuedRecord())));
  await store.close();
  return path;
}

test("its files are 0600, and one that others may read is refused with how to mend it", async (t) => {
  const path = join(temporaryFolder(t), "records.sqlite");
  const store = await SqliteCaStore.open(path);
  await store.recordIssued(issuedRecord());
  for (const suffix of ["", "-wal", "-shm"])
    assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
  await store.close();
  for (const suffix of ["-wal", "-shm"]) assert.equal(existsSync(path + suffix), false);
  chmodSync(path, 0o640);
  await assert.rejects(SqliteCaStore.open(path), { code: "BW_KEYSTORE_FILE_MODE", message: /chmod 600/ });
});

test("a database that is damaged anywhere is refused with the ways out, and left as it is", async (t) => {
  const path = await filledStore(t, 2000);
  const whole = readFileSync(path);
  const damages: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
    [
      "no database at all",
      () => Buffer.from("not a database, but long enough to be taken for one".repeat(20)),
    ],
    ["cut in the middle", (bytes) => bytes.subarray(0, bytes.length / 2)],
    ["a page of zeros", (bytes) => bytes.fill(0, 4096 * 9, 4096 * 10)],
    ["a page of noise", (bytes) => bytes.fill("x", 4096 * 20, 4096 * 21)],
    ["its first page", (bytes) => bytes.fill("x", 100, 400)],
    ["of a newer program", (bytes) => withVersion(path, bytes, 99)],
  ];
  for (const [what, damage] of damages) {
    rmSync(path);
    writeFileSync(path, damage(Buffer.from(whole)), { mode: 0o600 });
    const before = readFileSync(path);
    await assert.rejects(
      SqliteCaStore.open(path),
      { code: "BW_CA_STORE_DAMAGED", message: /records\.sqlite.*backup.*\.recover.*revoked pass again/ },
      what,
    );
    assert.ok(before.equals(readFileSync(path)), `${what}: left alone`);
  }
});

function withVersion(path: string, bytes: Buffer, version: number): Buffer {
  const copy = `${path}.version`;
  writeFileSync(copy, bytes);
  const db = new DatabaseSync(copy);
  db.exec(`PRAGMA user_version = ${version}`);
  db.close();
  return readFileSync(copy);
}

test("a file or folder that cannot be written is refused when the CA opens, by name", async (t) => {
  const missing = join(temporaryFolder(t), "absent", "records.sqlite");
  await assert.rejects(SqliteCaStore.open(missing), {
    code: /^BW_CA_STORE_/,
    message: /absent\/records\.sqlite/,
  });
  await assert.rejects(SqliteCaStore.open("/proc/records.sqlite"), {
    code: /^BW_CA_STORE_/,
    message: /\/proc\/records\.sqlite/,
  });
});

test("a damaged page that is met while running fails the call, and the store goes on", async (t) => {
  // More than SQLite keeps in memory.
  const path = await filledStore(t, 12_000);
  const store = await SqliteCaStore.open(path);
  t.after(() => store.close());
  const file = openSync(path, "r+");
  for (let at = 4096 * 12; at < statSync(path).size; at += 4096)
    writeSync(file, Buffer.alloc(4096, "y"), 0, 4096, at);
  closeSync(file);
  await assert.rejects(allIssued(store), { code: "BW_CA_STORE_DAMAGED" });
  assert.deepEqual(await store.read("x"), { version: 0, text: "" });
});

test("a burst of 20,000 waits for the disk together; what does not fit is refused at once", async (t) => {
  const store = await SqliteCaStore.open(join(temporaryFolder(t), "records.sqlite"));
  t.after(() => store.close());
  const outcomes = await Promise.allSettled(Array.from({ length: 20_100 }, () => store.audit(auditRecord())));
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.equal(refused.length, 100);
  assert.ok(refused.every(({ reason }) => reason.code === "BW_CA_STORE_BUSY"));
  await store.audit(auditRecord({ message: "room again" }));
  assert.equal((await store.audited(1))[0]?.message, "room again");
});

test("of refusals the newest are kept, and other records are not pushed out by them", async (t) => {
  const path = join(temporaryFolder(t), "records.sqlite");
  const store = await SqliteCaStore.open(path);
  t.after(() => store.close());
  await store.audit(auditRecord({ message: "kept" }));
  const db = new DatabaseSync(path);
  const insert = db.prepare("INSERT INTO audit (time_ms, kind, message) VALUES (?, 'refused', 'no')");
  db.exec("BEGIN");
  for (let i = 0; i < RETENTION.refusals + PRUNE_ROWS + 7; i++) insert.run(NOW);
  db.exec("COMMIT");
  assert.equal(await store.prune(NOW), PRUNE_ROWS + 7);
  const counts = db.prepare("SELECT kind, count(*) AS n FROM audit GROUP BY kind ORDER BY kind").all();
  db.close();
  assert.deepEqual(
    counts.map(({ kind, n }) => [kind, n]),
    [
      ["issued", 1],
      ["refused", RETENTION.refusals],
    ],
  );
});

test("records of an earlier version are taken on with all that they hold, once, whoever opens them first", async (t) => {
  const path = join(temporaryFolder(t), "records.sqlite");
  const store = await SqliteCaStore.open(path);
  const record = issuedRecord();
  await store.recordIssued(record);
  await store.revoke({ serial: record.serial }, HOW);
  await store.revoke({ spiffeId: PAYROLL }, HOW);
  await store.close();
  const db = new DatabaseSync(path);
  db.exec(`DROP TABLE revoked_keys; DROP INDEX issued_by_key; DROP INDEX revocations_of_authorities;
    ALTER TABLE revocations DROP COLUMN subject_key_id; ALTER TABLE cutoffs DROP COLUMN blocked_at_ms;
    ALTER TABLE cutoffs DROP COLUMN blocked_by; PRAGMA user_version = 1`);
  db.close();
  const opened = await Promise.all([SqliteCaStore.open(path), SqliteCaStore.open(path)]);
  t.after(() => Promise.all(opened.map((one) => one.close())));
  const [one, other] = opened;
  assert.deepEqual(await allIssued(one), [record]);
  assert.equal((await other.revocationsSince(0)).length, 1);
  assert.deepEqual(await other.cutoffs(), [{ spiffeId: PAYROLL, beforeMs: NOW }]);
  await one.revoke({ spiffeId: AUDITOR }, { ...HOW, block: true });
  assert.ok((await other.cutoffOf(AUDITOR))?.block);
});

test("a store under a CA that is opened again is the same store; a CA closes the one that it was given", async (t) => {
  const folder = temporaryFolder(t);
  const given = await SqliteCaStore.open(join(folder, "elsewhere.sqlite"));
  const ca = await openCa(folder, { trustDomain: CLUSTER_LOCAL, store: given });
  assert.equal(ca.store, given);
  await ca.close();
  await assert.rejects(given.read("x"), { code: "BW_CA_STORE_CLOSED" });
  assert.equal(existsSync(join(folder, "ca", "records.sqlite")), false);
});

test("a copy of the database made while it is written, with its log, opens with all that was acknowledged", async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "records.sqlite");
  const store = await SqliteCaStore.open(path);
  for (let i = 0; i < 20; i++) await store.recordIssued(issuedRecord({ spiffeId: AUDITOR }));
  const copy = join(folder, "copy.sqlite");
  for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, copy + suffix);
  await store.close();
  const opened = await SqliteCaStore.open(copy);
  t.after(() => opened.close());
  assert.equal((await allIssued(opened)).length, 20);
});
