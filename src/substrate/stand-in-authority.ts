import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { spkiOf } from "../identity/key-algorithm.ts";
import { ensurePrivateFolder, readPrivateFile, writePrivateFile } from "../identity/key-store.ts";
import { decodePem, encodePem } from "../identity/pem.ts";
import { type Signer, signCertificate, signerFrom } from "../identity/sign.ts";
import { encodeName, keyIdentifier, serialFrom, serverTemplate, validityFrom } from "../identity/template.ts";
import { TLS_PROFILE } from "../identity/tls-profile.ts";

const CA_TTL_SECONDS = 3650 * 86_400;
const LEAF_TTL_SECONDS = 30 * 86_400;
/** A name that can never resolve (RFC 6761 §6.4): the CA's certificate needs one, and it must be nobody's. */
const CA_NAME = "stand-ins.bulwark.invalid";
const MAX_CACHED_NAMES = 1000;

/** Where the stand-ins' CA certificate is, in its folder: what a client must trust to believe them. */
export const STAND_IN_CA_FILE = "ca.pem";

/**
 * The CA of the stand-ins for hosts outside of the mesh, and of echoes that speak TLS themselves. It has nothing to do with
 * the mesh's own: no workload's certificate comes from it, and no proxy takes it for a peer's.
 */
export class StandInAuthority {
  readonly #signer: Signer;
  readonly #leafKey: KeyObject;
  readonly #leafKeyPem: string;
  readonly #leafSpki: Buffer;
  readonly #contexts = new Map<string, SecureContext>();

  constructor(signer: Signer) {
    this.#signer = signer;
    this.#leafKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    this.#leafKeyPem = this.#leafKey.export({ type: "pkcs8", format: "pem" }).toString();
    this.#leafSpki = spkiOf(this.#leafKey);
  }

  /** A server's TLS context for exactly this name; `fallbackName` for a client that names none or no proper name. */
  secureContext(serverName: string, fallbackName: string): SecureContext {
    const name = /^[a-z0-9._-]{1,253}$/i.test(serverName) ? serverName.toLowerCase() : fallbackName;
    const known = this.#contexts.get(name);
    if (known !== undefined) return known;
    const oldest = this.#contexts.keys().next().value;
    if (this.#contexts.size >= MAX_CACHED_NAMES && oldest !== undefined) this.#contexts.delete(oldest);
    const context = createSecureContext({
      key: this.#leafKeyPem,
      cert: this.#certificatePem(name),
      ...TLS_PROFILE.outside,
    });
    this.#contexts.set(name, context);
    return context;
  }

  #certificatePem(name: string): string {
    const template = serverTemplate({
      dnsNames: [name],
      spki: this.#leafSpki,
      validity: validityFrom(Date.now(), LEAF_TTL_SECONDS, this.#signer),
      serial: serialFrom(randomBytes(16)),
      issuer: this.#signer,
    });
    return encodePem("CERTIFICATE", signCertificate(template, this.#signer.privateKey));
  }
}

/**
 * Opens the stand-ins' CA in a folder, making it on the first run.
 * @throws {BulwarkError} those of the key store.
 */
export function openStandInAuthority(folder: string): StandInAuthority {
  ensurePrivateFolder(folder);
  const path = join(folder, "ca-with-key.pem");
  // One file with both: a crash between two files would leave a key without its certificate.
  if (readPrivateFile(path) === undefined) writePrivateFile(path, makeAuthorityPem(), { exclusive: true });
  const pem = readPrivateFile(path) ?? "";
  const [certificate] = decodePem("CERTIFICATE", pem);
  const [key] = decodePem("PRIVATE KEY", pem);
  if (certificate === undefined || key === undefined) throw new Error(`BUG: ${path} is not what was written`);
  writePrivateFile(join(folder, STAND_IN_CA_FILE), encodePem("CERTIFICATE", certificate));
  return new StandInAuthority(
    signerFrom(certificate, createPrivateKey({ key, format: "der", type: "pkcs8" })),
  );
}

function makeAuthorityPem(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = spkiOf(privateKey);
  const subject = encodeName("Bulwark stand-ins CA");
  const certificate = signCertificate(
    {
      profile: "root",
      serial: serialFrom(randomBytes(16)),
      issuer: subject,
      subject,
      ...validityFrom(Date.now(), CA_TTL_SECONDS),
      spki,
      uris: [],
      dnsNames: [CA_NAME],
      subjectKeyId: keyIdentifier(spki),
    },
    privateKey,
  );
  const key = privateKey.export({ type: "pkcs8", format: "der" });
  return encodePem("CERTIFICATE", certificate) + encodePem("PRIVATE KEY", key);
}
