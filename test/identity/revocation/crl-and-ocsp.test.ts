/** CRLs and OCSP answers, held to OpenSSL's own readers where it has one in this process, and to hand-written DER elsewhere. The command line's is in test/real. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { type CertificateAuthority, openCa } from "../../../src/identity/ca.ts";
import { readPublicKeyBits } from "../../../src/identity/certificate-der.ts";
import { contextTag, TAG } from "../../../src/identity/der-reader.ts";
import { type DerNode, der, derOid, encodeDer } from "../../../src/identity/der-writer.ts";
import { OID } from "../../../src/identity/object-ids.ts";
import { CrlIssuer } from "../../../src/identity/revocation/crl-issuer.ts";
import { encodeCrl } from "../../../src/identity/revocation/encode-crl.ts";
import { readOcspRequest } from "../../../src/identity/revocation/ocsp-request.ts";
import { OcspResponder } from "../../../src/identity/revocation/ocsp-responder.ts";
import { OCSP_ERRORS, type OcspStatus } from "../../../src/identity/revocation/ocsp-response.ts";
import { readOcspResponse } from "../../../src/identity/revocation/read-ocsp-response.ts";
import { parseSpiffeId, parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import { memoryCaStore } from "../memory-ca-store.ts";

const folder = mkdtempSync(join(tmpdir(), "crl-"));
let ca: CertificateAuthority;

before(async () => {
  const trustDomain = parseTrustDomain("cluster.local");
  assert.ok(trustDomain !== undefined);
  ca = await openCa(folder, { trustDomain });
});
after(async () => {
  await ca.close();
  rmSync(folder, { recursive: true, force: true });
});

const HOUR_MS = 3_600_000;
/** Whole seconds, as X.509 counts them. */
const NOW_MS = Math.ceil(Date.now() / 1000) * 1000;

test("a CRL is version 2, signed by its issuer, with number, authority, serials and reasons as another reader finds them", async () => {
  const der = await encodeCrl({
    issuer: ca.signer,
    number: 255,
    thisUpdateMs: NOW_MS,
    nextUpdateMs: NOW_MS + HOUR_MS,
    entries: [
      {
        serial: "80ff",
        reason: "keyCompromise",
        revokedAtMs: NOW_MS - 5000,
        invalidSinceMs: NOW_MS - HOUR_MS,
      },
      { serial: "01", reason: "unspecified", revokedAtMs: NOW_MS - 1 },
      { serial: "7b54abd420849f2d958eb4fd3f7018a1", reason: "privilegeWithdrawn", revokedAtMs: NOW_MS },
    ],
  });
  const crl = new x509.X509Crl(der);
  assert.equal(crl.version, 1, "version 2 is written as 1");
  assert.equal(crl.thisUpdate.getTime(), NOW_MS);
  assert.equal(crl.nextUpdate?.getTime(), NOW_MS + HOUR_MS);
  const entries = crl.entries.map(({ serialNumber, reason }) => [serialNumber, reason]);
  assert.deepEqual(entries, [
    ["80ff", x509.X509CrlReason.keyCompromise],
    ["01", undefined],
    ["7b54abd420849f2d958eb4fd3f7018a1", x509.X509CrlReason.privilegeWithdrawn],
  ]);
  assert.equal(crl.entries[0]?.invalidity?.getTime(), NOW_MS - HOUR_MS);
  assert.ok(await crl.verify({ publicKey: new x509.X509Certificate(ca.issuerCertificate) }));
  const types = crl.extensions.map(({ type, critical }) => [type, critical]);
  assert.deepEqual(types, [
    ["2.5.29.35", false],
    ["2.5.29.20", false],
  ]);
  assert.deepEqual([...Buffer.from(crl.extensions[1]?.value ?? new ArrayBuffer(0))], [2, 2, 0, 255]);
});

test("a delta names its base in a critical extension, and no list has an empty list of revocations", async () => {
  const common = { issuer: ca.signer, thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS + HOUR_MS, entries: [] };
  const crl = new x509.X509Crl(await encodeCrl({ ...common, number: 3, baseNumber: 2 }));
  const indicator = crl.extensions.find(({ type }) => type === "2.5.29.27");
  assert.deepEqual(
    [indicator?.critical, ...Buffer.from(indicator?.value ?? new ArrayBuffer(0))],
    [true, 2, 1, 2],
  );
  assert.deepEqual(crl.entries, []);
});

test("lists are issued anew at a revocation and at half of their life; numbers rise, also for a second replica", async () => {
  const store = memoryCaStore();
  let nowMs = NOW_MS;
  const options = { store, clock: () => nowMs, baseAgeMs: HOUR_MS };
  const [one, two] = [new CrlIssuer(options), new CrlIssuer(options)];
  const first = await one.current(ca.signer);
  assert.equal((await one.current(ca.signer)).number, first.number, "nothing has changed");
  await revokeOne(store, "0a", nowMs);
  const second = await one.current(ca.signer);
  assert.ok(second.number > first.number);
  assert.equal(second.baseNumber, first.number);
  assert.deepEqual(serialsOf(second.delta), ["0a"]);
  assert.ok((await two.current(ca.signer)).number > second.number);
  nowMs += HOUR_MS / 2;
  const later = await one.current(ca.signer);
  assert.ok(later.number > second.number + 1);
  nowMs += HOUR_MS;
  const rebased = await one.current(ca.signer);
  assert.equal(rebased.baseNumber, rebased.number, "a new base each hour");
  assert.deepEqual([serialsOf(rebased.full), serialsOf(rebased.delta)], [["0a"], []]);
});

test("a list holds its own issuer's revocations only, until some time after the certificates' end", async () => {
  const store = memoryCaStore();
  let nowMs = NOW_MS;
  const issuer = new CrlIssuer({ store, clock: () => nowMs });
  await revokeOne(store, "0a", nowMs);
  await revokeOne(store, "0b", nowMs, "00".repeat(20));
  assert.deepEqual(serialsOf((await issuer.current(ca.signer)).full), ["0a"]);
  nowMs += 2 * HOUR_MS;
  assert.deepEqual(serialsOf((await issuer.current(ca.signer)).full), ["0a"], "it ended an hour ago");
  nowMs += 3 * HOUR_MS;
  assert.deepEqual(serialsOf((await issuer.current(ca.signer)).full), []);
});

test("OCSP says good, revoked and unknown, and repeats the nonce; a request for another issuer is unauthorized", async () => {
  const statuses: Record<string, OcspStatus> = {
    "0a": "good",
    "80ff": { revokedAtMs: NOW_MS, reason: "superseded" },
  };
  const responder = responderWith((serial) => statuses[serial] ?? "unknown");
  const nonce = encodeDer(der(TAG.octetString, Buffer.from("0102030405060708", "hex")));
  const request = requestOf({ ids: ["0a", "80ff", "0c"].map((serial) => certId(serial)), nonce });
  const { der: bytes, keepUntilMs } = await responder.answer(request);
  const read = readOcspResponse(bytes);
  assert.ok(!("error" in read));
  assert.deepEqual(
    read.answers.map(({ serial, status }) => [serial, status]),
    [
      ["0a", "good"],
      ["80ff", "revoked"],
      ["0c", "unknown"],
    ],
  );
  assert.ok(bytes.includes(nonce));
  assert.equal(keepUntilMs, undefined, "an answer with a nonce is for once");
  const plain = await responder.answer(requestOf({ ids: [certId("0a")] }));
  assert.equal(plain.keepUntilMs, NOW_MS + 600_000);
  const foreign = await responder.answer(requestOf({ ids: [certId("0a", Buffer.alloc(32, 9))] }));
  assert.deepEqual(foreign.der, OCSP_ERRORS.unauthorized);
});

test("OCSP takes every hash that it knows for the issuer's name and key, and only with both right", async () => {
  const responder = responderWith(() => "good");
  for (const name of ["sha1", "sha256", "sha384", "sha512"] as const) {
    const { der: bytes } = await responder.answer(requestOf({ ids: [certId("0a", undefined, name)] }));
    assert.ok(!("error" in readOcspResponse(bytes)), name);
  }
  const unknown = await responder.answer(requestOf({ ids: [certId("0a", undefined, "sha1", "2b0e030299")] }));
  assert.deepEqual(unknown.der, OCSP_ERRORS.unauthorized);
});

test("an OCSP delegate is renewed before it ends, and a store that fails is an internal error", async () => {
  let nowMs = Date.now();
  const responder = new OcspResponder({
    issuers: async () => [ca.signer],
    statusOf: async (_issuer, serial) => {
      if (serial === "ff") throw new Error("the disk is gone");
      return "good";
    },
    clock: () => nowMs,
  });
  const one = await responder.answer(requestOf({ ids: [certId("0a")] }));
  nowMs += 6 * 24 * HOUR_MS;
  const two = await responder.answer(requestOf({ ids: [certId("0a")] }));
  const certificates = [one, two].map(({ der: bytes }) => {
    const read = readOcspResponse(bytes);
    assert.ok(!("error" in read));
    return read.certificates[0]?.toString("hex");
  });
  assert.notEqual(certificates[0], certificates[1]);
  assert.deepEqual(
    (await responder.answer(requestOf({ ids: [certId("ff")] }))).der,
    OCSP_ERRORS.internalError,
  );
});

const MALFORMED: Readonly<Record<string, () => Buffer>> = {
  "nothing at all": () => Buffer.alloc(0),
  "another structure": () => encodeDer(der(TAG.sequence)),
  "no certificate": () => requestOf({ ids: [] }),
  "more certificates than any client asks about": () =>
    requestOf({ ids: Array.from({ length: 33 }, () => certId("0a")) }),
  "bytes behind it": () => Buffer.concat([requestOf({ ids: [certId("0a")] }), Buffer.from([0])]),
  "a negative serial": () => requestOf({ ids: [rawCertId(Buffer.from([0x80]))] }),
  "a serial with a superfluous zero": () => requestOf({ ids: [rawCertId(Buffer.from([0, 1]))] }),
  "an empty nonce": () => requestOf({ ids: [certId("0a")], nonce: encodeDer(der(TAG.octetString)) }),
  "a nonce of 129 bytes": () =>
    requestOf({ ids: [certId("0a")], nonce: encodeDer(der(TAG.octetString, Buffer.alloc(129))) }),
  "a nonce that is none": () => requestOf({ ids: [certId("0a")], nonce: Buffer.from("hello") }),
  "a critical extension that is not known": () =>
    requestOf({ ids: [certId("0a")], extension: { oid: "2a03", critical: true } }),
  "version 2": () => requestOf({ ids: [certId("0a")], version: 1 }),
  "17 KiB": () => Buffer.alloc(17_000, 0x30),
};

for (const [what, make] of Object.entries(MALFORMED))
  test(`OCSP refuses as malformed: ${what}`, async () => {
    const { der: bytes } = await responderWith(() => "good").answer(make());
    assert.deepEqual(bytes, OCSP_ERRORS.malformedRequest);
  });

test("a request's optional parts, version 1 written out and extensions that are not critical, are taken", () => {
  const read = readOcspRequest(
    requestOf({ ids: [certId("0a")], version: 0, extension: { oid: "2a03", critical: false } }),
  );
  assert.ok(!("error" in read));
  assert.deepEqual([read.certificates[0]?.serial, read.nonce], ["0a", undefined]);
});

test("readOcspRequest() and readOcspResponse() never throw, whatever byte of a sound one is changed or missing", () => {
  const request = requestOf({
    ids: [certId("0a"), certId("80ff")],
    nonce: encodeDer(der(TAG.octetString, Buffer.alloc(16, 1))),
  });
  fc.assert(
    fc.property(fc.nat(request.length - 1), fc.nat(255), fc.nat(request.length), (at, byte, length) => {
      const changed = Buffer.from(request);
      changed[at] = byte;
      for (const bytes of [changed, changed.subarray(0, length)]) {
        readOcspRequest(bytes);
        readOcspResponse(bytes);
      }
    }),
    { numRuns: 2000, seed: 7 },
  );
});

function responderWith(statusOf: (serial: string) => OcspStatus): OcspResponder {
  return new OcspResponder({
    issuers: async () => [ca.signer],
    statusOf: async (_issuer, serial) => statusOf(serial),
    clock: () => NOW_MS,
  });
}

type Hash = "sha1" | "sha256" | "sha384" | "sha512";

function certId(serialHex: string, issuerKey?: Buffer, name: Hash = "sha1", oid: string = OID[name]): Buffer {
  const serial = Buffer.from(serialHex, "hex");
  const positive = (serial[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), serial]) : serial;
  return rawCertId(positive, issuerKey, name, oid);
}

function rawCertId(serial: Buffer, issuerKey?: Buffer, name: Hash = "sha1", oid: string = OID[name]): Buffer {
  const { subject, spki } = ca.signer;
  return encodeDer(
    der(
      TAG.sequence,
      der(TAG.sequence, derOid(oid), der(TAG.null)),
      der(TAG.octetString, hash(name, subject, "buffer")),
      der(TAG.octetString, hash(name, issuerKey ?? readPublicKeyBits(spki), "buffer")),
      der(TAG.integer, serial),
    ),
  );
}

function requestOf(parts: {
  readonly ids: readonly Buffer[];
  readonly nonce?: Buffer;
  readonly version?: number;
  readonly extension?: { readonly oid: string; readonly critical: boolean };
}): Buffer {
  const { ids, nonce, version, extension } = parts;
  const extensions: DerNode[] = [];
  if (nonce !== undefined)
    extensions.push(der(TAG.sequence, derOid(OID.ocspNonce), der(TAG.octetString, nonce)));
  if (extension !== undefined)
    extensions.push(
      der(
        TAG.sequence,
        derOid(extension.oid),
        ...(extension.critical ? [der(TAG.boolean, Buffer.from([0xff]))] : []),
        der(TAG.octetString, Buffer.from([5, 0])),
      ),
    );
  return encodeDer(
    der(
      TAG.sequence,
      der(
        TAG.sequence,
        ...(version === undefined ? [] : [der(contextTag(0), der(TAG.integer, Buffer.from([version])))]),
        der(TAG.sequence, ...ids.map((id) => der(TAG.sequence, id))),
        ...(extensions.length === 0 ? [] : [der(contextTag(2), der(TAG.sequence, ...extensions))]),
      ),
    ),
  );
}

async function revokeOne(
  store: ReturnType<typeof memoryCaStore>,
  serial: string,
  nowMs: number,
  issuerKeyId: string = ca.issuer.keyId,
): Promise<void> {
  const spiffeId = parseSpiffeId("spiffe://cluster.local/ns/a/sa/b")?.id;
  assert.ok(spiffeId !== undefined);
  await store.recordIssued({
    serial,
    issuerKeyId,
    spiffeId,
    notBeforeMs: nowMs,
    notAfterMs: nowMs + HOUR_MS,
    keyHash: "",
    issuedAtMs: nowMs,
    method: "token",
  });
  await store.revoke({ serial }, { reason: "superseded", by: "test", atMs: nowMs });
}

function serialsOf(crl: Buffer): string[] {
  return new x509.X509Crl(crl).entries.map(({ serialNumber }) => serialNumber);
}
