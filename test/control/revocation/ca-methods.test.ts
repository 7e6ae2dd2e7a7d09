import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { caMethods, MAX_CERTIFICATES } from "../../../src/control/revocation/ca-methods.ts";
import type { CaReport } from "../../../src/control/revocation/messages.ts";
import { RevocationService } from "../../../src/control/revocation/revocation-service.ts";
import { openCa } from "../../../src/identity/ca.ts";
import { CrlIssuer } from "../../../src/identity/revocation/crl-issuer.ts";
import type { IssuedCertificateRecord } from "../../../src/identity/store/ca-store.ts";
import { parseSpiffeId, parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import { memoryCaStore } from "../../identity/memory-ca-store.ts";

const HOUR_MS = 3_600_000;
const TELLER = "spiffe://cluster.local/ns/bank/sa/teller";

function record(serial: string): IssuedCertificateRecord {
  return {
    serial,
    issuerKeyId: "aa".repeat(20),
    spiffeId: parseSpiffeId(TELLER)?.id ?? assert.fail(),
    notBeforeMs: Date.now() - HOUR_MS,
    notAfterMs: Date.now() + HOUR_MS,
    keyHash: serial,
    issuedAtMs: Date.now() - HOUR_MS,
    method: "token",
  };
}

test("ca.status: a certificate in use is on record however many newer ones live; one that is nowhere is told of", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "bw-ca-methods-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const store = memoryCaStore();
  const trustDomain = parseTrustDomain("cluster.local") ?? assert.fail();
  const ca = await openCa(folder, { trustDomain, store });
  await store.recordIssued(record("0a"));
  for (let index = 0; index <= MAX_CERTIFICATES; index++) await store.recordIssued(record(`1${index}`));
  const use = (serial: string) => ({
    pod: `bank/teller-${serial}`,
    identity: TELLER,
    certificate: {
      serial,
      issuedAt: new Date(Date.now() - HOUR_MS).toISOString(),
      notBefore: new Date(Date.now() - HOUR_MS).toISOString(),
      notAfter: new Date(Date.now() + HOUR_MS).toISOString(),
      nextRotation: new Date(Date.now() + HOUR_MS).toISOString(),
    },
  });
  const methods = caMethods({
    ca,
    store,
    crls: new CrlIssuer({ store }),
    revocations: new RevocationService({
      store,
      push: async () => ({ told: 0, confirmed: 0, cut: 0 }),
      onRevoked: () => {},
      onProblem: () => {},
    }),
    intermediates: { pending: async () => null, revoke: () => assert.fail() },
    holders: () => [],
    inUse: () => [use("0a"), use("0b")],
    everUsed: () => new Set(),
    seenIssuers: () => new Set(),
    tell: () => {},
    startedAtMs: Date.now(),
  });
  const status = methods["ca.status"] ?? assert.fail();
  const { alerts } = (await status({ limit: 10 })) as CaReport;
  await ca.close();
  assert.deepEqual(
    alerts.filter(({ kind }) => kind === "not-on-record").map(({ message }) => message.split(" ")[0]),
    ["bank/teller-0b"],
  );
});
