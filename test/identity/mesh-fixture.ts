import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  type CaOptions,
  type CertificateAuthority,
  type IssuedCertificate,
  openCa,
} from "../../src/identity/ca.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName } from "../../src/identity/key-algorithm.ts";
import { parseTrustDomain, type TrustDomain, workloadSpiffeId } from "../../src/model/spiffe-id.ts";

/** Printed by fast-check when a property fails; the same everywhere so that runs can be repeated. */
export const SEED = 20260801;

export function trustDomain(text: string): TrustDomain {
  return parseTrustDomain(text) ?? assert.fail(`${text} is no trust domain`);
}

export const CLUSTER_LOCAL = trustDomain("cluster.local");
export const AUDITOR = workloadSpiffeId(CLUSTER_LOCAL, "finance", "account-auditor");
export const PAYROLL = workloadSpiffeId(CLUSTER_LOCAL, "finance", "payroll");

/** A folder that goes when the test does. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-identity-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function testCa(
  t: TestContext,
  options: Partial<CaOptions> = {},
): Promise<CertificateAuthority> {
  const ca = await openCa(temporaryFolder(t), { trustDomain: CLUSTER_LOCAL, ...options });
  t.after(() => ca.close());
  return ca;
}

export interface Credentials {
  readonly issued: IssuedCertificate;
  readonly privateKey: KeyObject;
  /** As `tls.connect` and `tls.createServer` take them. */
  readonly tls: { readonly key: string; readonly cert: string; readonly ca: string };
}

export interface CredentialsRequest {
  readonly identity?: ReturnType<typeof workloadSpiffeId>;
  readonly ttlSeconds?: number;
  readonly keyAlgorithm?: KeyAlgorithmName;
}

export async function credentials(
  ca: CertificateAuthority,
  request: CredentialsRequest = {},
): Promise<Credentials> {
  const { privateKey } = await KEY_ALGORITHMS[request.keyAlgorithm ?? "ecdsa-p256"].generate();
  const issued = await ca.issue({
    csr: encodeCsr(privateKey),
    verifiedIdentity: request.identity ?? AUDITOR,
    ttlSeconds: request.ttlSeconds ?? 0,
  });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { issued, privateKey, tls: { key, cert: issued.chainPem, ca: issued.trustBundlePem } };
}
