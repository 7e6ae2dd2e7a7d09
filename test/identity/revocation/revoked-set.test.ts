import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type RevokedCertificate, RevokedSet } from "../../../src/identity/revocation/revoked-set.ts";

const NOW_MS = 1_000_000_000_000;
const LATER_MS = NOW_MS + 3_600_000;

function revoked(serial: string, issuerKeyId = "aa", notAfterMs = LATER_MS): RevokedCertificate {
  return { serial, issuerKeyId, notAfterMs, reason: "superseded" };
}

test("RevokedSet finds a certificate by issuer and serial, and no other", () => {
  const set = new RevokedSet();
  set.add([revoked("01"), revoked("01", "bb")], NOW_MS);
  assert.equal(set.reasonFor({ serial: "01", authorityKeyId: "aa" }, LATER_MS), "superseded");
  assert.equal(set.reasonFor({ serial: "01", authorityKeyId: "bb" }, LATER_MS), "superseded");
  assert.equal(set.reasonFor({ serial: "01", authorityKeyId: "cc" }, LATER_MS), undefined);
  assert.equal(set.reasonFor({ serial: "02", authorityKeyId: "aa" }, LATER_MS), undefined);
});

test("RevokedSet refuses a certificate that does not name its issuer when anybody revoked its serial", () => {
  const set = new RevokedSet();
  set.add([revoked("01")], NOW_MS);
  assert.equal(set.reasonFor({ serial: "01", authorityKeyId: undefined }, LATER_MS), "superseded");
  assert.equal(set.reasonFor({ serial: "02", authorityKeyId: undefined }, LATER_MS), undefined);
});

test("RevokedSet.add() returns what is new, once", () => {
  const set = new RevokedSet();
  assert.equal(set.add([revoked("01"), revoked("02")], NOW_MS).length, 2);
  assert.deepEqual(set.add([revoked("02"), revoked("03")], NOW_MS), [revoked("03")]);
  assert.equal(set.size, 3);
});

test("RevokedSet lets go of certificates some time after their end, and not before", () => {
  const set = new RevokedSet();
  set.add([revoked("01"), revoked("02", "aa", LATER_MS + 3_600_000)], NOW_MS);
  set.prune(LATER_MS + 60_000);
  assert.equal(set.size, 2, "clocks differ by some minutes");
  set.prune(LATER_MS + 6 * 60_000);
  assert.equal(set.size, 1);
  assert.equal(set.reasonFor({ serial: "02", authorityKeyId: "aa" }, LATER_MS), "superseded");
});

test("RevokedSet stays within its bound, and nothing that was revoked ever gets past it", () => {
  const entry = fc.record({
    serial: fc.integer({ min: 1, max: 400 }).map((serial) => serial.toString(16).padStart(4, "0")),
    issuerKeyId: fc.constantFrom("aa", "bb"),
    notAfterMs: fc.integer({ min: NOW_MS + 1, max: LATER_MS }),
  });
  fc.assert(
    fc.property(fc.array(fc.array(entry, { maxLength: 30 }), { maxLength: 20 }), (batches) => {
      const set = new RevokedSet(50);
      const all = batches.map((batch) =>
        batch.map(({ serial, issuerKeyId, notAfterMs }) => revoked(serial, issuerKeyId, notAfterMs)),
      );
      for (const batch of all) {
        set.add(batch, NOW_MS);
        assert.ok(set.size <= 50);
      }
      const seen = new Set<string>();
      for (const { serial, issuerKeyId, notAfterMs } of all.flat()) {
        // A serial has one certificate: what a second entry says of its end is not what was revoked first.
        if (seen.has(`${issuerKeyId} ${serial}`)) continue;
        seen.add(`${issuerKeyId} ${serial}`);
        assert.ok(set.reasonFor({ serial, authorityKeyId: issuerKeyId }, notAfterMs) !== undefined);
      }
    }),
    { numRuns: 300, seed: 11 },
  );
});

test("RevokedSet refuses, once full, only certificates that end no later than those that made room", () => {
  const set = new RevokedSet(10);
  set.add(
    Array.from({ length: 11 }, (_, index) =>
      revoked(`0${index.toString(16)}`, "aa", NOW_MS + 1000 * (index + 1)),
    ),
    NOW_MS,
  );
  assert.ok(set.size < 11);
  assert.equal(set.reasonFor({ serial: "ff", authorityKeyId: "aa" }, LATER_MS), undefined);
  assert.notEqual(set.reasonFor({ serial: "00", authorityKeyId: "aa" }, NOW_MS + 1000), undefined);
});
