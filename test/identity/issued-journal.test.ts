import assert from "node:assert/strict";
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IssuedJournal, type IssuedRecord } from "../../src/identity/issued-journal.ts";
import { temporaryFolder } from "./mesh-fixture.ts";

function record(serial: string): IssuedRecord {
  const time = "2026-08-01T12:00:00.000Z";
  return {
    serial,
    spiffeId: "spiffe://td/a",
    notBefore: time,
    notAfter: time,
    keyHash: "00",
    issuerSerial: "01",
    time,
  };
}

async function serials(journal: IssuedJournal): Promise<string[]> {
  const found: string[] = [];
  for await (const { serial } of journal.records()) found.push(serial);
  return found;
}

test("append() puts one line a record into a file of mode 0600, in order", async (t) => {
  const path = join(temporaryFolder(t), "issued.jsonl");
  const journal = await IssuedJournal.open(path);
  const many = Array.from({ length: 500 }, (_, i) => String(i));
  await Promise.all(many.map((serial) => journal.append(record(serial))));
  assert.deepEqual(await serials(journal), many);
  await journal.close();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(readFileSync(path, "utf8").split("\n").length, 501);
});

test("a journal cut at any byte loses the torn record and no other, before and after it", async (t) => {
  const path = join(temporaryFolder(t), "issued.jsonl");
  const first = await IssuedJournal.open(path);
  await first.append(record("one"));
  const kept = statSync(path).size;
  await first.append(record("two"));
  await first.close();
  const whole = readFileSync(path);
  for (let cut = kept; cut <= whole.length; cut += 7) {
    writeFileSync(path, whole);
    truncateSync(path, cut);
    const journal = await IssuedJournal.open(path);
    await journal.append(record("three"));
    const torn = cut < whole.length - 1;
    assert.deepEqual(
      await serials(journal),
      torn ? ["one", "three"] : ["one", "two", "three"],
      `cut at ${cut}`,
    );
    await journal.close();
  }
});

test("records() passes over lines that are no records", async (t) => {
  const path = join(temporaryFolder(t), "issued.jsonl");
  const journal = await IssuedJournal.open(path);
  t.after(() => journal.close());
  appendFileSync(path, `\n{}\nnull\n[1]\n{"serial":1}\n${"x".repeat(200_000)}\n`);
  await journal.append(record("whole"));
  assert.deepEqual(await serials(journal), ["whole"]);
});

test("append() rejects each record that the disk refuses", async (t) => {
  const path = "/dev/full";
  const journal = await IssuedJournal.open(path).catch(() => undefined);
  if (journal === undefined) return t.skip("no /dev/full on this machine");
  t.after(() => journal.close());
  const failed = { code: "BW_CA_JOURNAL_WRITE", message: /the disk refused it/ };
  await assert.rejects(journal.append(record("a")), failed);
  await assert.rejects(journal.append(record("b")), failed);
});

test("append() refuses once closed, and close() waits for what was appended", async (t) => {
  const path = join(temporaryFolder(t), "issued.jsonl");
  const journal = await IssuedJournal.open(path);
  const pending = journal.append(record("last"));
  await journal.close();
  await pending;
  await assert.rejects(journal.append(record("late")), { code: "BW_CA_JOURNAL_WRITE", message: /closed/ });
  assert.match(readFileSync(path, "utf8"), /"last"/);
});

test("open() says which file it cannot open", async (t) => {
  const path = join(temporaryFolder(t), "no", "such", "folder");
  await assert.rejects(IssuedJournal.open(path), { code: "BW_CA_JOURNAL_OPEN", message: /no\/such\/folder/ });
});
