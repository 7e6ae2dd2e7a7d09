/** Files and folders of signatures, as cosign leaves them, and hostile ones. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkImageSignatures } from "../../../src/cli/trust/check-image-signatures.ts";
import { readSignatures } from "../../../src/cli/trust/read-signatures.ts";
import { readSignaturePolicy } from "../../../src/cli/trust/signature-policy.ts";
import { file, IMAGE, log, SIGN, scratch, signer, verdict } from "./judge-signatures.ts";
import {
  DIGEST,
  downloaded,
  OTHER_DIGEST,
  pemOf,
  sha256,
  simpleSigning,
  statementBundle,
  trustedRoot,
} from "./sign-image.ts";

let layouts = 0;

/** An OCI layout as `cosign save` leaves it. */
function layout(
  payload: Buffer,
  signature: string,
  spoil: (blob: Buffer) => Buffer = (blob) => blob,
): string {
  const folder = join(scratch, `layout-${++layouts}`);
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
  const folder = join(scratch, `mixed-${++layouts}`);
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
