/** Signatures of images, as cosign writes them, by keys and by identities: what holds, and each way in which it does not. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import type { SignatureVerdict } from "../../../src/analysis/trust/signatures/signature-verdict.ts";
import { checkImageSignatures } from "../../../src/cli/trust/check-image-signatures.ts";
import { readSignatures } from "../../../src/cli/trust/read-signatures.ts";
import { readSignaturePolicy } from "../../../src/cli/trust/signature-policy.ts";
import { verifySignature } from "../../../src/cli/trust/verify-signature.ts";
import {
  type Authority,
  DIGEST,
  downloaded,
  ISSUER,
  issue,
  type KeyPair,
  newAuthority,
  newKeys,
  OTHER_DIGEST,
  pemOf,
  SIGNED_AT,
  SUBJECT,
  sha256,
  simpleSigning,
  statementBundle,
  trustedRoot,
} from "./sign-image.ts";

const IMAGE = `docker.io/istio/proxyv2@${DIGEST}`;
const SIGN = "https://sigstore.dev/cosign/sign/v1";

const scratch = mkdtempSync(join(tmpdir(), "bulwark-signatures-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

let signer: KeyPair;
let log: KeyPair;
let authority: Authority;
let files = 0;

before(async () => {
  signer = newKeys();
  log = newKeys();
  authority = await newAuthority();
});

function file(text: string, name = "x.json"): string {
  const folder = join(scratch, String(++files));
  mkdirSync(folder);
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

interface Trust {
  readonly keys?: readonly KeyPair[];
  readonly identities?: readonly string[];
  readonly root?: string;
}

/** @param stored what the file of signatures holds */
async function verdict(
  stored: unknown,
  { keys = [], identities = [], root }: Trust,
  image = IMAGE,
): Promise<SignatureVerdict> {
  const policy = await readSignaturePolicy({
    keys: keys.map((pair) => file(pemOf(pair), "cosign.pub")),
    identities,
    ...(root === undefined ? {} : { trustedRoot: file(root, "trusted_root.json") }),
  });
  const { signatures } = readSignatures(file(JSON.stringify(stored)));
  const found = (await checkImageSignatures([image], signatures, policy)).get(image);
  assert.ok(found);
  return found;
}

function assertRefused(found: SignatureVerdict, reason: RegExp): void {
  assert.equal(found.outcome, "refused", JSON.stringify(found));
  if (found.outcome === "refused") assert.match(found.refused[0].reason, reason);
}

test("a key's signature holds, by cosign's own files and by a bundle", async () => {
  for (const stored of [
    downloaded({ signer, payload: simpleSigning(DIGEST) }),
    statementBundle(signer, SIGN, DIGEST),
  ]) {
    const found = await verdict(stored, { keys: [newKeys(), signer] });
    assert.equal(found.outcome, "verified", JSON.stringify(found));
    assert.equal(found.outcome === "verified" && found.signer.kind, "key");
    assert.equal(found.outcome === "verified" && found.logged, false);
  }
});

test("another key's signature is refused", async () => {
  for (const stored of [
    downloaded({ signer, payload: simpleSigning(DIGEST) }),
    statementBundle(signer, SIGN, DIGEST),
  ])
    assertRefused(await verdict(stored, { keys: [newKeys()] }), /signature verification failed/);
});

test("a payload that was changed after it was signed is refused", async () => {
  const changed = downloaded({ signer, payload: simpleSigning(OTHER_DIGEST) });
  changed.Payload = simpleSigning(DIGEST).toString("base64");
  assertRefused(await verdict(changed, { keys: [signer] }), /signature verification failed/);
  const bundle = statementBundle(signer, SIGN, OTHER_DIGEST) as { dsseEnvelope: { payload: string } };
  bundle.dsseEnvelope.payload = (statementBundle(signer, SIGN, DIGEST) as typeof bundle).dsseEnvelope.payload;
  assertRefused(await verdict(bundle, { keys: [signer] }), /signature verification failed/);
});

test("a signature of another image leaves this one unsigned", async () => {
  for (const stored of [
    downloaded({ signer, payload: simpleSigning(OTHER_DIGEST) }),
    statementBundle(signer, SIGN, OTHER_DIGEST),
  ])
    assert.deepEqual(await verdict(stored, { keys: [signer] }), { outcome: "unsigned" });
});

test("an attestation of the image (provenance) is no signature of it", async () => {
  const provenance = statementBundle(signer, "https://slsa.dev/provenance/v1", DIGEST);
  assert.deepEqual(await verdict(provenance, { keys: [signer] }), { outcome: "unsigned" });
});

test("a payload of another type is no signature of an image", async () => {
  const payload = Buffer.from(
    simpleSigning(DIGEST).toString().replace("cosign container image signature", "a note"),
  );
  assert.deepEqual(await verdict(downloaded({ signer, payload }), { keys: [signer] }), {
    outcome: "unsigned",
  });
});

test("an image by its tag has no digest that a signature could be held against", async () => {
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST) });
  assert.deepEqual(await verdict(stored, { keys: [signer] }, "docker.io/istio/proxyv2:1.27.3"), {
    outcome: "not-pinned",
  });
});

test("with a log in the root, a key's signature has to stand in it", async () => {
  const payload = simpleSigning(DIGEST);
  const root = trustedRoot({ log });
  const found = await verdict(downloaded({ signer, payload, log }), { keys: [signer], root });
  assert.equal(found.outcome === "verified" && found.logged, true, JSON.stringify(found));
  assertRefused(
    await verdict(downloaded({ signer, payload }), { keys: [signer], root }),
    /expected 1 tlog entries, got 0/,
  );
  const another = downloaded({ signer, payload, log: newKeys() });
  assertRefused(await verdict(another, { keys: [signer], root }), /inclusion promise|not be verified|log/i);
});

test("an entry of the log for another signature does not count", async () => {
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST), log });
  stored.Bundle = downloaded({ signer, payload: simpleSigning(OTHER_DIGEST), log }).Bundle;
  assertRefused(
    await verdict(stored, { keys: [signer], root: trustedRoot({ log }) }),
    /mismatch|verification/,
  );
});

const IDENTITY = `${ISSUER} ${SUBJECT}`;

test("an identity's signature holds by its certificate, its entry in the log and the time that this gives", async () => {
  const certificate = await issue(authority, signer);
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST), log, certificate });
  for (const identity of [IDENTITY, `${ISSUER} *@mesh.example.com`, `${ISSUER} rel*@mesh.*.com`]) {
    const found = await verdict(stored, { identities: [identity], root: trustedRoot({ authority, log }) });
    assert.equal(found.outcome, "verified", JSON.stringify(found));
    assert.deepEqual(found.outcome === "verified" && found.signer, {
      kind: "identity",
      issuer: ISSUER,
      subject: SUBJECT,
    });
  }
});

test("another identity is refused, and subjects are compared whole, never as a part or a regular expression", async () => {
  const certificate = await issue(authority, signer);
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST), log, certificate });
  for (const identity of [
    `${ISSUER} other@mesh.example.com`,
    `${ISSUER} mesh.example.com`,
    `${ISSUER} release@mesh.example`,
    `${ISSUER} .+@mesh.example.com`,
    `${ISSUER} release@mesh.example.com*x`,
    `${ISSUER}.evil ${SUBJECT}`,
    `https://accounts.example ${SUBJECT}`,
  ])
    assertRefused(
      await verdict(stored, { identities: [identity], root: trustedRoot({ authority, log }) }),
      /who is not trusted/,
    );
});

test("a certificate that had ended when it was signed with is refused", async () => {
  const certificate = await issue(authority, signer, { notBefore: SIGNED_AT - 60 * 60_000 });
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST), log, certificate });
  assertRefused(
    await verdict(stored, { identities: [IDENTITY], root: trustedRoot({ authority, log }) }),
    /certificate/i,
  );
});

test("a certificate counts for nothing without a trusted time of signing", async () => {
  const certificate = await issue(authority, signer);
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST), certificate });
  for (const root of [trustedRoot({ authority, log }), trustedRoot({ authority })])
    assertRefused(await verdict(stored, { identities: [IDENTITY], root }), /expected 1 timestamps, got 0/);
});

test("a certificate of another authority is refused", async () => {
  const certificate = await issue(await newAuthority(), signer);
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST), log, certificate });
  assertRefused(
    await verdict(stored, { identities: [IDENTITY], root: trustedRoot({ authority, log }) }),
    /certificate/i,
  );
});

test("one's certificate with another's signature is refused", async () => {
  const certificate = await issue(authority, signer);
  const stored = downloaded({ signer: newKeys(), payload: simpleSigning(DIGEST), log, certificate });
  assertRefused(
    await verdict(stored, { identities: [IDENTITY], root: trustedRoot({ authority, log }) }),
    /signature verification failed/,
  );
});

test("certificates do not count where only keys are trusted, nor keys where only identities are", async () => {
  const payload = simpleSigning(DIGEST);
  const certificate = await issue(authority, signer);
  assertRefused(
    await verdict(downloaded({ signer, payload, log, certificate }), { keys: [signer] }),
    /only keys are trusted/,
  );
  const root = trustedRoot({ authority, log });
  assertRefused(
    await verdict(downloaded({ signer, payload, log }), { identities: [IDENTITY], root }),
    /only identities are trusted/,
  );
});

test("where the root knows a certificate log, the certificate has to stand in it", async () => {
  const certificate = await issue(authority, signer);
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST), log, certificate });
  const root = trustedRoot({ authority, log, certificateLog: newKeys() });
  assertRefused(await verdict(stored, { identities: [IDENTITY], root }), /SCT/);
});

test("a signature that holds, held against another digest, is refused with the digest that it is for", async () => {
  const policy = await readSignaturePolicy({ keys: [file(pemOf(signer))] });
  for (const stored of [
    downloaded({ signer, payload: simpleSigning(DIGEST) }),
    statementBundle(signer, SIGN, DIGEST),
  ]) {
    const [signature] = readSignatures(file(JSON.stringify(stored))).signatures;
    assert.ok(signature);
    assert.equal((await verifySignature(signature, DIGEST, policy)).ok, true);
    assert.deepEqual(await verifySignature(signature, OTHER_DIGEST, policy), {
      ok: false,
      reason: `is for ${DIGEST}`,
    });
  }
});

test("a bundle whose digest is not that of the payload beside it is refused", async () => {
  const policy = await readSignaturePolicy({ keys: [file(pemOf(signer))] });
  const stored = downloaded({ signer, payload: simpleSigning(DIGEST) });
  const [signature] = readSignatures(file(JSON.stringify(stored))).signatures;
  assert.ok(signature);
  const bundle = structuredClone(signature.bundle) as {
    messageSignature: { messageDigest: { digest: string } };
  };
  bundle.messageSignature.messageDigest.digest = sha256(simpleSigning(OTHER_DIGEST)).toString("base64");
  assert.deepEqual(await verifySignature({ ...signature, bundle }, DIGEST, policy), {
    ok: false,
    reason: "the digest in it is not that of its payload",
  });
});

test("one signature of several that holds is enough, whichever it is", async () => {
  const payload = simpleSigning(DIGEST);
  const lines = [downloaded({ signer: newKeys(), payload }), downloaded({ signer, payload })];
  const { signatures } = readSignatures(file(lines.map((line) => JSON.stringify(line)).join("\n")));
  const policy = await readSignaturePolicy({ keys: [file(pemOf(signer))] });
  const found = (await checkImageSignatures([IMAGE], signatures, policy)).get(IMAGE);
  assert.match(found?.outcome === "verified" ? found.file : "", /x\.json:2$/);
});

/** An OCI layout as `cosign save` leaves it. */
function layout(
  payload: Buffer,
  signature: string,
  spoil: (blob: Buffer) => Buffer = (blob) => blob,
): string {
  const folder = join(scratch, `layout-${++files}`);
  mkdirSync(join(folder, "blobs", "sha256"), { recursive: true });
  const put = (bytes: Buffer, stored = bytes): string => {
    const hex = sha256(bytes).toString("hex");
    writeFileSync(join(folder, "blobs", "sha256", hex), stored);
    return `sha256:${hex}`;
  };
  const layer = {
    mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
    digest: put(payload, spoil(payload)),
    annotations: { "dev.cosignproject.cosign/signature": signature },
  };
  const manifest = put(Buffer.from(JSON.stringify({ layers: [layer] })));
  writeFileSync(join(folder, "index.json"), JSON.stringify({ manifests: [{ digest: manifest }] }));
  return folder;
}

test("a folder of `cosign save` is read, and a blob that is not what its name says is not", async () => {
  const payload = simpleSigning(DIGEST);
  const signature = String(downloaded({ signer, payload }).Base64Signature);
  const policy = await readSignaturePolicy({ keys: [file(pemOf(signer))] });
  const good = readSignatures(layout(payload, signature));
  assert.equal(
    (await checkImageSignatures([IMAGE], good.signatures, policy)).get(IMAGE)?.outcome,
    "verified",
  );
  const bad = readSignatures(layout(payload, signature, () => simpleSigning(OTHER_DIGEST)));
  assert.equal(bad.signatures.length, 0);
  assert.match(bad.unreadable[0]?.reason ?? "", /is not what its name says/);
});

test("a bundle that `cosign save` left among the blobs, with no index that names it, is found", async () => {
  const folder = layout(Buffer.from("{}"), "");
  for (const text of [
    JSON.stringify(statementBundle(signer, SIGN, DIGEST)),
    '{"mediaType":"dev.sigstore.bundle',
    "\u0000",
  ])
    writeFileSync(join(folder, "blobs", "sha256", sha256(Buffer.from(text)).toString("hex")), text);
  const { signatures, unreadable } = readSignatures(folder);
  const policy = await readSignaturePolicy({ keys: [file(pemOf(signer))] });
  assert.deepEqual(unreadable, []);
  assert.equal((await checkImageSignatures([IMAGE], signatures, policy)).get(IMAGE)?.outcome, "verified");
});

test("files that hold no signature are named with the reason, and do not hide the others", () => {
  const folder = join(scratch, `mixed-${++files}`);
  mkdirSync(folder);
  writeFileSync(join(folder, "a.json"), "{");
  writeFileSync(join(folder, "b.json"), JSON.stringify({ hello: 1 }));
  writeFileSync(join(folder, "c.json"), JSON.stringify(statementBundle(signer, SIGN, DIGEST)));
  writeFileSync(join(folder, "notes.txt"), "not looked at");
  const { signatures, unreadable } = readSignatures(folder);
  assert.deepEqual([signatures.length, unreadable.length], [1, 2]);
});

test("hostile JSON in the place of a bundle is a refusal, never a throw", async () => {
  const bundle = statementBundle(signer, SIGN, DIGEST);
  for (const [key, value] of [
    ["verificationMaterial", null],
    ["verificationMaterial", {}],
    ["verificationMaterial", { certificate: { rawBytes: "AAAA" }, tlogEntries: [] }],
    ["verificationMaterial", { x509CertificateChain: { certificates: [] } }],
    ["verificationMaterial", { publicKey: {}, tlogEntries: [{ logIndex: "-1" }] }],
    ["dsseEnvelope", { payload: 1 }],
    ["dsseEnvelope", []],
    ["mediaType", "application/vnd.dev.sigstore.bundle.v9+json"],
    ["messageSignature", { messageDigest: {}, signature: "" }],
  ] as const) {
    const found = await verdict({ ...bundle, [key]: value }, { keys: [signer], root: trustedRoot({ log }) });
    assert.notEqual(found.outcome, "verified", key);
  }
});

test("whatever is changed in a file of signatures: what is verified is what was signed", async () => {
  const payload = simpleSigning(DIGEST);
  const certificate = await issue(authority, signer);
  const text = JSON.stringify(downloaded({ signer, payload, log, certificate }));
  const policy = await readSignaturePolicy({
    identities: [IDENTITY],
    trustedRoot: file(trustedRoot({ authority, log }), "trusted_root.json"),
  });
  const held = new Set([DIGEST, OTHER_DIGEST]);
  const images = [...held].map((digest) => `docker.io/istio/proxyv2@${digest}`);
  const change = fc.record({ at: fc.nat(text.length - 1), by: fc.constantFrom("A", "b", "0", '"', "}", "") });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 3 }), async (changes) => {
      let changed = text;
      for (const { at, by } of changes) changed = changed.slice(0, at) + by + changed.slice(at + 1);
      const { signatures } = readSignatures(file(changed));
      const verdicts = await checkImageSignatures(images, signatures, policy);
      assert.notEqual(verdicts.get(images[1] ?? "")?.outcome, "verified", changed);
      if (verdicts.get(images[0] ?? "")?.outcome === "verified")
        assert.deepEqual(signatures[0]?.payload?.equals(payload), true, changed);
    }),
    { numRuns: 150 },
  );
});

test("policies that would believe nobody, or anybody, are refused", async () => {
  const root = file(trustedRoot({ authority, log }));
  const noFirstDay = file(trustedRoot({ log }).replace(/"start":"[^"]*"/, ""));
  for (const [options, message] of [
    [{}, /somebody to believe/],
    [{ identities: [IDENTITY] }, /--trusted-root/],
    [{ identities: [ISSUER], trustedRoot: root }, /is no identity/],
    [{ identities: [`${ISSUER} *`], trustedRoot: root }, /is no identity/],
    [{ keys: [file("x")] }, /no public key/],
    [{ keys: [file(signer.privateKey.export({ type: "pkcs8", format: "pem" }).toString())] }, /private key/],
    [{ keys: [file(pemOf(signer))], trustedRoot: file("{}") }, /neither authorities nor logs/],
    [{ keys: [file(pemOf(signer))], trustedRoot: noFirstDay }, /no first day/],
    [{ keys: ["/nowhere/cosign.pub"] }, /cannot be read/],
  ] as const)
    await assert.rejects(readSignaturePolicy(options), message);
});
