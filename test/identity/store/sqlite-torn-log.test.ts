import assert from "node:assert/strict";
import { copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openDatabase } from "../../../src/identity/store/sqlite-database.ts";
import { SqliteOperations } from "../../../src/identity/store/sqlite-operations.ts";
import { AUDITOR, temporaryFolder } from "../mesh-fixture.ts";
import { issuedRecord, NOW } from "./ca-store-conformance.ts";

const HOW = { reason: "superseded", by: "test" } as const;

test("a log that ends at any byte keeps every change that was acknowledged before it was so long, and none by half", (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "records.sqlite");
  openDatabase(path).close();
  const db = openDatabase(path);
  const operations = new SqliteOperations(db, "test");
  /** Length of the log when a change was acknowledged → how many certificates and revocations there were. */
  const acknowledged: (readonly [number, number, number])[] = [];
  let revoked = 0;
  for (let i = 1; i <= 8; i++) {
    db.exec("BEGIN IMMEDIATE");
    operations.recordIssued(issuedRecord());
    if (i % 3 === 0)
      revoked += operations.revoke({ spiffeId: AUDITOR }, { ...HOW, atMs: NOW - 10 + i }).length;
    db.exec("COMMIT");
    acknowledged.push([statSync(`${path}-wal`).size, i, revoked]);
  }
  const log = readFileSync(`${path}-wal`);
  const copy = join(folder, "copy.sqlite");
  for (let cut = 0; cut <= log.length; cut += 1021) {
    for (const suffix of ["-wal", "-shm"]) rmSync(copy + suffix, { force: true });
    copyFileSync(path, copy);
    writeFileSync(`${copy}-wal`, log.subarray(0, cut));
    const opened = openDatabase(copy);
    const found = new SqliteOperations(opened, "copy");
    const kept = acknowledged.findLast(([length]) => length <= cut);
    const issued = found.issuedPage({}, undefined, 100).records.length;
    const revocations = found.revocationsSince(0).length;
    assert.ok(issued >= (kept?.[1] ?? 0), `cut at ${cut}: ${issued} certificates`);
    assert.ok(revocations >= (kept?.[2] ?? 0), `cut at ${cut}: ${revocations} revocations`);
    assert.equal(found.news().sequence, revocations, `cut at ${cut}: the order`);
    assert.equal(found.cutoffOf(AUDITOR) !== undefined, revocations > 0, `cut at ${cut}: the cutoff`);
    opened.close();
  }
  db.close();
});

test("a checkpoint that ends before any page, or in one, loses nothing: what it had not moved is in the log", (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "records.sqlite");
  openDatabase(path).close();
  const db = openDatabase(path);
  const operations = new SqliteOperations(db, "test");
  let revoked = 0;
  for (let i = 1; i <= 40; i++) {
    db.exec("BEGIN IMMEDIATE");
    operations.recordIssued(issuedRecord());
    if (i % 4 === 0)
      revoked += operations.revoke({ spiffeId: AUDITOR }, { ...HOW, atMs: NOW - 100 + i }).length;
    db.exec("COMMIT");
  }
  const [before, log] = [readFileSync(path), readFileSync(`${path}-wal`)];
  db.exec("PRAGMA wal_checkpoint(FULL)");
  const after = readFileSync(path);
  db.close();
  const copy = join(folder, "copy.sqlite");
  const HALF_PAGE_BYTES = 2048;
  let points = 0;
  for (let cut = 0; cut <= after.length; cut += HALF_PAGE_BYTES) {
    for (const suffix of ["-wal", "-shm"]) rmSync(copy + suffix, { force: true });
    // Pages reach the disk in any order before the file is synced: the first so many, and the last so many.
    for (const mixed of [
      Buffer.concat([after.subarray(0, cut), before.subarray(cut)]),
      Buffer.concat([before.subarray(0, cut), after.subarray(cut)]),
    ]) {
      writeFileSync(copy, mixed, { mode: 0o600 });
      writeFileSync(`${copy}-wal`, log, { mode: 0o600 });
      const opened = openDatabase(copy);
      const found = new SqliteOperations(opened, "copy");
      assert.equal(found.issuedPage({}, undefined, 100).records.length, 40, `cut at ${cut}`);
      assert.equal(found.revocationsSince(0).length, revoked, `cut at ${cut}`);
      opened.close();
      points += 1;
    }
  }
  t.diagnostic(`${points} points`);
  assert.ok(points > 20 && !after.equals(before));
});
