/** Signatures by keys: what holds, and each way in which it does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkImageSignatures } from "../../../src/cli/trust/check-image-signatures.ts";
import { readSignatures } from "../../../src/cli/trust/read-signatures.ts";
import { readSignaturePolicy } from "../../../src/cli/trust/signature-policy.ts";
import { verifySignature } from "../../../src/cli/trust/verify-signature.ts";
import { assertRefused, authority, file, IMAGE, log, SIGN, signer, verdict } from "./judge-signatures.ts";
import {
  DIGEST,
  downloaded,
  ISSUER,
  newKeys,
  OTHER_DIGEST,
  pemOf,
  SUBJECT,
  sha256,
  simpleSigning,
  statementBundle,
  trustedRoot,
} from "./sign-image.ts";

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

const IDENTITY = `${ISSUER} ${SUBJECT}`;

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
