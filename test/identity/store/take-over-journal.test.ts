import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openCa } from "../../../src/identity/ca.ts";
import { takeOverJournal } from "../../../src/identity/store/take-over-journal.ts";
import { AUDITOR, CLUSTER_LOCAL, credentials, PAYROLL, temporaryFolder } from "../mesh-fixture.ts";
import { allIssued } from "./ca-store-conformance.ts";

const START = Date.UTC(2026, 6, 1);

function line(n: number, issuerSerial: string, spiffeId: string = AUDITOR): string {
  const at = (ms: number) => new Date(START + ms).toISOString();
  return JSON.stringify({
    serial: `4${n.toString(16).padStart(31, "0")}`,
    spiffeId,
    notBefore: at(n),
    notAfter: at(n + 1000),
    keyHash: "cd",
    issuerSerial,
    time: at(n),
  });
}

test("the journal of an earlier version is taken over once, under the keys of the intermediates that signed, and set aside", async (t) => {
  const stateDir = temporaryFolder(t);
  const first = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  const { issuer, issuerCertificate } = first;
  await first.close();
  const issuerSerial = new X509Certificate(issuerCertificate).serialNumber.toLowerCase();
  const journal = join(stateDir, "ca", "issued.jsonl");
  const many = Array.from({ length: 2500 }, (_, n) => line(n, issuerSerial, n % 2 === 0 ? AUDITOR : PAYROLL));
  const text = [
    ...many,
    line(9999, "0bad"),
    "",
    "{}",
    '{"serial":1}',
    "null",
    `${line(3, issuerSerial).slice(0, 90)}`,
  ].join("\n");
  writeFileSync(journal, text, { mode: 0o600 });

  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  t.after(() => ca.close());
  const records = (await allIssued(ca.store)).reverse();
  assert.equal(records.length, 2501);
  assert.deepEqual(records[5], {
    serial: `4${"5".padStart(31, "0")}`,
    issuerKeyId: issuer.keyId,
    spiffeId: PAYROLL,
    notBeforeMs: START + 5,
    notAfterMs: START + 1005,
    keyHash: "cd",
    issuedAtMs: START + 5,
    method: "token",
  });
  assert.equal(records.at(-1)?.issuerKeyId, "0bad", "its intermediate is gone");
  assert.equal(existsSync(journal), false);
  assert.equal(readFileSync(`${journal}.taken-over`, "utf8"), text);
});

test("a take-over that was killed half-way is made up for, and a cutoff since then keeps no record out", async (t) => {
  const stateDir = temporaryFolder(t);
  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  t.after(() => ca.close());
  await credentials(ca);
  const journal = join(stateDir, "ca", "issued.jsonl");
  writeFileSync(journal, `${line(1, "0b")}\n`);
  await takeOverJournal(journal, join(stateDir, "ca"), ca.store);
  await ca.store.revoke({ spiffeId: AUDITOR }, { reason: "superseded", by: "test", atMs: START + 5000 });
  writeFileSync(journal, `${line(1, "0b")}\n${line(2, "0b")}\n`);
  await takeOverJournal(journal, join(stateDir, "ca"), ca.store);
  assert.equal((await allIssued(ca.store)).length, 3);
  await takeOverJournal(journal, join(stateDir, "ca"), ca.store);
});
