import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeCsrPem } from "../../../src/identity/authentication/csr-pem.ts";
import { refuseForeignWishes } from "../../../src/identity/authentication/csr-wishes.ts";
import { verifyCsr } from "../../../src/identity/csr.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { wishfulCsr } from "../../control/ca-grpc/wishful-csr.ts";
import { AUDITOR, PAYROLL, SEED } from "../mesh-fixture.ts";

test("a request that names nobody, or its own identity alone, passes, and its key is found", async () => {
  for (const wishes of [{}, { uris: [AUDITOR] }, { uris: [AUDITOR], ca: false }]) {
    const csr = decodeCsrPem(await wishfulCsr(wishes));
    refuseForeignWishes(csr, AUDITOR);
    assert.equal(verifyCsr(csr).algorithm.name, "ecdsa-p256");
  }
});

test("the same request is refused to another identity", async () => {
  const csr = decodeCsrPem(await wishfulCsr({ uris: [AUDITOR] }));
  assert.throws(
    () => refuseForeignWishes(csr, PAYROLL),
    (error) => error instanceof BulwarkError && error.code === "BW_CA_CSR_IDENTITY",
  );
});

test("whatever bytes a request has, reading them ends in a BulwarkError or in nothing", async () => {
  const good = decodeCsrPem(await wishfulCsr({ uris: [AUDITOR], ca: true, certSign: true }));
  const mutated = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const copy = Buffer.from(good);
      for (const [at, byte] of changes) copy[at] = byte;
      return copy;
    });
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      ),
      (csr) => {
        try {
          refuseForeignWishes(csr, AUDITOR);
        } catch (error) {
          assert.ok(error instanceof BulwarkError, String(error));
        }
      },
    ),
    { seed: SEED, numRuns: 1500 },
  );
});

test("decodeCsrPem() reads one block of either label and no other text", async () => {
  const pem = await wishfulCsr({});
  const der = decodeCsrPem(pem);
  assert.deepEqual(decodeCsrPem(pem.replaceAll("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")), der);
  assert.deepEqual(decodeCsrPem(`\n${pem.replaceAll("\n", "\r\n")}\n`), der);
  for (const bad of [
    "",
    `x${pem}`,
    `${pem}x`,
    pem + pem,
    pem.replace("BEGIN CERT", "BEGIN NEW CERT"),
    pem.replaceAll("CERTIFICATE REQUEST", "CERTIFICATE"),
    pem.replace(/\n[A-Za-z0-9]/, "\n!"),
  ])
    assert.throws(
      () => decodeCsrPem(bad),
      (error) => error instanceof BulwarkError && error.code === "BW_CA_CSR_MALFORMED",
    );
});
