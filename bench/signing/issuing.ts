/** What the two contenders work with, and our side of the work. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { encodeCsr, verifyCsr } from "../../src/identity/csr.ts";
import { spkiOf } from "../../src/identity/key-algorithm.ts";
import { memorySigner } from "../../src/identity/keys/ca-signer.ts";
import { encodePem } from "../../src/identity/pem.ts";
import { pooledRandomBytes } from "../../src/identity/random-pool.ts";
import { type Issuer, issueCertificate, signCertificate, signerFrom } from "../../src/identity/sign.ts";
import {
  authorityTemplate,
  serialFrom,
  validityFrom,
  workloadTemplate,
} from "../../src/identity/template.ts";
import { verifyIssued } from "../../src/identity/verify-issued.ts";
import { parseTrustDomain, type SpiffeId, workloadSpiffeId } from "../../src/model/spiffe-id.ts";

const REQUESTS = 64;
const DAY_SECONDS = 86_400;

export interface Work {
  readonly identity: SpiffeId;
  readonly requests: readonly Buffer[];
  readonly issuer: Issuer;
  /** The CA's certificate and key, and the requests: what the other contender reads. */
  readonly caPem: string;
  readonly requestsPem: string;
  /** Bare `sign` and `verify` of bytes of a certificate's size, nothing around them. */
  readonly floor: () => void;
}

export function prepare(): Work {
  const trustDomain = parseTrustDomain("cluster.local");
  if (trustDomain === undefined) throw new Error("BUG: no trust domain");
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const root = authorityTemplate({
    trustDomain,
    spki: spkiOf(publicKey),
    validity: validityFrom(Date.now(), 365 * DAY_SECONDS),
    serial: serialFrom(randomBytes(16)),
  });
  const signer = signerFrom(signCertificate(root, privateKey), privateKey);
  const requests = Array.from({ length: REQUESTS }, () =>
    encodeCsr(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
  );
  return {
    identity: workloadSpiffeId(trustDomain, "finance", "account-auditor"),
    requests,
    issuer: { ...signer, key: memorySigner(privateKey) },
    caPem: encodePem("CERTIFICATE", signer.certificate) + privateKey.export({ type: "pkcs8", format: "pem" }),
    requestsPem: requests.map((request) => encodePem("CERTIFICATE REQUEST", request)).join(""),
    floor: floorOf(privateKey, publicKey),
  };
}

function floorOf(privateKey: KeyObject, publicKey: KeyObject): () => void {
  const bytes = randomBytes(500);
  const signature = sign("sha256", bytes, privateKey);
  return () => {
    sign("sha256", bytes, privateKey);
    if (!verify("sha256", bytes, publicKey, signature)) throw new Error("BUG: own signature");
  };
}

/** One certificate, as `CertificateAuthority.issue` makes it up to where it is recorded. */
export async function issueOne(
  { identity, issuer }: Work,
  request: Buffer,
  readBack: boolean,
): Promise<Buffer> {
  const { spki } = verifyCsr(request);
  const template = workloadTemplate({
    identity,
    spki,
    validity: validityFrom(Date.now(), DAY_SECONDS, issuer),
    serial: serialFrom(pooledRandomBytes(16)),
    issuer,
  });
  const certificate = await issueCertificate(template, issuer.key);
  if (readBack) verifyIssued(certificate, template, issuer);
  return certificate;
}

/** @returns microseconds of processor time each, of all threads of this process. */
export async function issueMany(work: Work, count: number, readBack: boolean): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    const request = work.requests[i % work.requests.length];
    if (request !== undefined) await issueOne(work, request, readBack);
  }
  return microsEach(before, count);
}

export function microsEach(before: NodeJS.CpuUsage, count: number): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}
