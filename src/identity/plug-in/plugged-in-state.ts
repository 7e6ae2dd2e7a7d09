import { generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import { type TrustDomain, workloadSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { CaState } from "../ca-state.ts";
import { readCertificate, readKeyUsage } from "../certificate-der.ts";
import { DerError } from "../der-reader.ts";
import { readPublicKey, spkiOf } from "../key-algorithm.ts";
import { memorySigner } from "../keys/ca-signer.ts";
import { parsePrivateKey } from "../keys/private-key-pem.ts";
import { chainProblem } from "../peer-chain.ts";
import { decodePem } from "../pem.ts";
import { type Issuer, type IssuerCertificate, issueCertificate, readIssuerCertificate } from "../sign.ts";
import { serialFrom, validityFrom, workloadTemplate } from "../template.ts";
import { verifyIssued } from "../verify-issued.ts";
import type { CaMaterial } from "./ca-material.ts";

const MAX_ROOTS = 32;
const MAX_CHAIN = 8;
const KEY_CERT_SIGN = 0x04;

export interface PlugInOptions {
  /** Folder of the CA's records, which stay where they are. */
  readonly folder: string;
  readonly trustDomain: TrustDomain;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly passphrase?: string;
}

/**
 * Makes a CA's state of material from outside, or tells everything that is wrong with it. Last of all a certificate is issued on trial and verified as a
 * peer would: path lengths, name constraints and purposes of the whole chain have their say before any workload depends on it.
 * @throws {BulwarkError} BW_CA_PLUG_IN_REFUSED; `detail.problems` lists all of them, the message the first.
 */
export async function pluggedInState(material: CaMaterial, options: PlugInOptions): Promise<CaState> {
  const problems: string[] = [];
  const [certificate] = authorities(material.certificate, "ca-cert.pem", problems, 1);
  const roots = authorities(material.roots, "root-cert.pem", problems, MAX_ROOTS);
  const between =
    material.chain === undefined ? [] : authorities(material.chain, "cert-chain.pem", problems, MAX_CHAIN);
  const key = readKey(material, options, problems);
  for (const { x509, name } of [...(certificate ? [certificate] : []), ...roots])
    if (x509.validToDate.getTime() <= options.nowMs || x509.validFromDate.getTime() > options.nowMs)
      problems.push(`${name}: it is not valid now`);
  if (certificate !== undefined && key !== undefined && !certificate.spki.equals(spkiOf(key)))
    problems.push("ca-key.pem: the key does not belong to ca-cert.pem");
  if (certificate === undefined || key === undefined || problems.length > 0)
    throw refusal(material, problems);
  const chain = chainOf(certificate, between, roots);
  const signer = { ...certificate, key: memorySigner(key) };
  await tryOut(signer, chain, roots, options).catch((error: unknown) => {
    if (!(error instanceof BulwarkError)) throw error;
    throw refusal(material, [error.message]);
  });
  return {
    folder: options.folder,
    trustDomain: options.trustDomain,
    roots: roots.map((root) => ({ id: root.subjectKeyId.toString("hex"), certificate: root.certificate })),
    signer,
    chain,
  };
}

interface Authority extends IssuerCertificate {
  readonly name: string;
}

/** The CA certificates of one file; what is wrong with it goes to `problems`. */
function authorities(
  pem: string | undefined,
  name: string,
  problems: string[],
  most: number,
): readonly Authority[] {
  const ders = pem === undefined ? [] : decodePem("CERTIFICATE", pem);
  if (ders.length === 0)
    problems.push(`${name}: ${pem === undefined ? "it is missing" : "it holds no certificate"}`);
  // cert-manager puts the chain behind the certificate; elsewhere one more means that files were mixed up.
  const taken = most === 1 ? ders.slice(0, 1) : ders;
  if (taken.length > most) problems.push(`${name}: it holds more than ${most} certificates`);
  return taken.slice(0, most).flatMap((der) => {
    try {
      return [{ ...checkedAuthority(der), name }];
    } catch (error) {
      if (!(error instanceof BulwarkError || error instanceof DerError)) throw error;
      problems.push(`${name}: ${error.message}`);
      return [];
    }
  });
}

function checkedAuthority(der: Buffer): IssuerCertificate {
  const authority = readIssuerCertificate(der);
  const usage = readKeyUsage(readCertificate(der));
  if (usage !== undefined && (usage & KEY_CERT_SIGN) === 0)
    throw new DerError("its key usage does not let it sign certificates");
  const kind = readPublicKey(authority.spki);
  if ("weak" in kind) throw new DerError(kind.weak);
  return authority;
}

function readKey(
  { key }: CaMaterial,
  { passphrase }: PlugInOptions,
  problems: string[],
): KeyObject | undefined {
  if (key === undefined) {
    problems.push("ca-key.pem: it is missing");
    return undefined;
  }
  try {
    return parsePrivateKey(key, "ca-key.pem", passphrase);
  } catch (error) {
    if (!(error instanceof BulwarkError)) throw error;
    problems.push(error.message.startsWith("ca-key.pem") ? error.message : `ca-key.pem: ${error.message}`);
    return undefined;
  }
}

/** From the signer up to, not including, a root; empty when the signer is a root itself. */
function chainOf(
  signer: Authority,
  between: readonly Authority[],
  roots: readonly Authority[],
): readonly Buffer[] {
  const chain: Buffer[] = [];
  let current: Authority = signer;
  while (!roots.some((root) => root.certificate.equals(current.certificate)) && chain.length < MAX_CHAIN) {
    chain.push(current.certificate);
    const own = current;
    if (roots.some((root) => own.x509.checkIssued(root.x509) && own.x509.verify(root.publicKey))) break;
    const next = between.find(
      (candidate) =>
        !chain.some((known) => known.equals(candidate.certificate)) &&
        own.x509.checkIssued(candidate.x509) &&
        own.x509.verify(candidate.publicKey),
    );
    if (next === undefined) break;
    current = next;
  }
  return chain;
}

/** @throws {BulwarkError} what a peer would find wrong with a certificate of this CA. */
async function tryOut(
  signer: Issuer,
  chain: readonly Buffer[],
  roots: readonly Authority[],
  { trustDomain, nowMs }: PlugInOptions,
): Promise<void> {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const template = workloadTemplate({
    identity: workloadSpiffeId(trustDomain, "bulwark", "trial"),
    spki: spkiOf(publicKey),
    validity: validityFrom(nowMs, 60, signer),
    serial: serialFrom(randomBytes(16)),
    issuer: signer,
  });
  const leaf = await issueCertificate(template, signer.key);
  verifyIssued(leaf, template, signer);
  const anchors = roots.map(({ certificate }) => new X509Certificate(certificate));
  for (const purpose of ["client", "server"] as const) {
    const problem = chainProblem([leaf, ...chain], anchors, purpose, nowMs);
    if (problem !== undefined)
      throw new BulwarkError(
        "BW_CA_PLUG_IN_REFUSED",
        `a certificate that it issues is of no use: ${problem}`,
      );
  }
}

function refusal({ place }: CaMaterial, problems: readonly string[]): BulwarkError {
  const [first = "it holds no CA"] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  return new BulwarkError("BW_CA_PLUG_IN_REFUSED", `the CA in ${place} is refused: ${first}${more}`, {
    detail: { place, problems: problems.length === 0 ? [first] : problems },
  });
}
