/** Files of signatures held against a policy, for tests. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { SignatureVerdict } from "../../../src/analysis/trust/signatures/signature-verdict.ts";
import { checkImageSignatures } from "../../../src/cli/trust/check-image-signatures.ts";
import { readSignatures } from "../../../src/cli/trust/read-signatures.ts";
import { readSignaturePolicy } from "../../../src/cli/trust/signature-policy.ts";
import { DIGEST, type KeyPair, newAuthority, newKeys, pemOf } from "./sign-image.ts";

export const IMAGE = `docker.io/istio/proxyv2@${DIGEST}`;
export const SIGN = "https://sigstore.dev/cosign/sign/v1";
export const signer = newKeys();
export const log = newKeys();
export const authority = await newAuthority();

export const scratch = mkdtempSync(join(tmpdir(), "bulwark-signatures-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

let files = 0;

export function file(text: string, name = "x.json"): string {
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
export async function verdict(
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

export function assertRefused(found: SignatureVerdict, reason: RegExp): void {
  assert.equal(found.outcome, "refused", JSON.stringify(found));
  if (found.outcome === "refused") assert.match(found.refused[0].reason, reason);
}
