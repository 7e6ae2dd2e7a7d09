/** Signatures by identities that an authority vouches for: what holds, and each way in which it does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkImageSignatures } from "../../../src/cli/trust/check-image-signatures.ts";
import { readSignatures } from "../../../src/cli/trust/read-signatures.ts";
import { readSignaturePolicy } from "../../../src/cli/trust/signature-policy.ts";
import { assertRefused, authority, file, log, signer, verdict } from "./judge-signatures.ts";
import {
  DIGEST,
  downloaded,
  ISSUER,
  issue,
  newAuthority,
  newKeys,
  OTHER_DIGEST,
  SIGNED_AT,
  SUBJECT,
  simpleSigning,
  trustedRoot,
} from "./sign-image.ts";

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
