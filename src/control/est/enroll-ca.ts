import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { KEY_ALGORITHMS, type KeyAlgorithmName } from "../../identity/key-algorithm.ts";
import { ensurePrivateFolder, writePrivateFile } from "../../identity/key-store.ts";
import { memorySigner } from "../../identity/keys/ca-signer.ts";
import { printPrivateKey } from "../../identity/keys/private-key-pem.ts";
import { encodePem } from "../../identity/pem.ts";
import { encodeAuthorityRequest } from "../../identity/plug-in/authority-request.ts";
import { pluggedInState } from "../../identity/plug-in/plugged-in-state.ts";
import type { TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** Whoever signs for us, by whatever protocol. */
export interface OutsideCa {
  /** What it is trusted by, and may be between: DER. */
  readonly authorities: () => Promise<readonly Buffer[]>;
  /** @param csr PKCS#10 in DER. @returns the certificate first. */
  readonly enroll: (csr: Buffer) => Promise<readonly Buffer[]>;
}

export interface EnrollOptions {
  readonly client: OutsideCa;
  readonly trustDomain: TrustDomain;
  /** Gets the four files of `cacerts`; a mesh that runs on it follows. */
  readonly folder: string;
  readonly keyAlgorithm?: KeyAlgorithmName;
  /** Encrypts the key. */
  readonly passphrase?: string;
}

/**
 * Has an outside CA sign an intermediate for a new key of ours, and lays it out as Istio's `cacerts`. Nothing is written before all of it was tried as
 * `--ca-certs` would.
 * @returns the intermediate.
 * @throws {BulwarkError} those of the client, BW_EST_ANSWER, BW_CA_PLUG_IN_REFUSED, BW_KEYSTORE_….
 */
export async function enrollCa(options: EnrollOptions): Promise<X509Certificate> {
  const { client, trustDomain, folder, keyAlgorithm = "ecdsa-p256", passphrase } = options;
  const authorities = (await client.authorities()).map(read);
  const { privateKey } = await KEY_ALGORITHMS[keyAlgorithm].generate();
  const request = await encodeAuthorityRequest(memorySigner(privateKey), trustDomain);
  const [certificate, ...others] = (await client.enroll(request)).map(read);
  if (certificate === undefined) throw new BulwarkError("BW_EST_ANSWER", "the server gave no certificate");
  const isRoot = (one: X509Certificate) => one.checkIssued(one) && one.verify(one.publicKey);
  const between = [...others, ...authorities].filter((one) => !isRoot(one));
  const material = {
    place: "what the outside CA gave",
    certificate: pem([certificate]),
    key: printPrivateKey(privateKey, passphrase),
    chain: pem([certificate, ...between]),
    roots: pem(authorities.filter(isRoot)),
  };
  const secret = passphrase === undefined ? {} : { passphrase };
  await pluggedInState(material, { folder, trustDomain, nowMs: Date.now(), ...secret });
  ensurePrivateFolder(folder);
  writePrivateFile(join(folder, "root-cert.pem"), material.roots);
  writePrivateFile(join(folder, "cert-chain.pem"), material.chain);
  writePrivateFile(join(folder, "ca-key.pem"), material.key);
  writePrivateFile(join(folder, "ca-cert.pem"), material.certificate);
  return certificate;
}

function read(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    throw new BulwarkError("BW_EST_ANSWER", "the server sent a certificate that cannot be read");
  }
}

function pem(certificates: readonly X509Certificate[]): string {
  return certificates.map(({ raw }) => encodePem("CERTIFICATE", raw)).join("");
}
