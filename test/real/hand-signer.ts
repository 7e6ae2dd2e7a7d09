import "reflect-metadata";
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** Clocks of client and server are one here; the margin is for the certificate's whole seconds. */
const BACKDATE_MS = 5000;

/** What a hand-made certificate says. */
export interface HandMade {
  /** URI names, usually one SPIFFE ID. */
  readonly uris: readonly string[];
  /** Default 1 h. Negative: it has ended already. */
  readonly ttlSeconds?: number;
  readonly startsInSeconds?: number;
  /** A certificate that may sign, which no workload's may. */
  readonly ca?: boolean;
}

/** As `tls.connect` takes them; `chainPem` is the leaf and what leads to the root. */
export interface HandCredentials {
  readonly keyPem: string;
  readonly chainPem: string;
  readonly rootPem: string;
}

/**
 * Signs certificates by hand, with another library than the mesh's: as somebody who holds the CA's key
 * (`ofMesh`), or as somebody who only claims its names (`rogue`).
 */
export class HandSigner {
  readonly #issuer: x509.X509Certificate;
  readonly #key: CryptoKey;
  readonly #root: x509.X509Certificate;

  private constructor(issuer: x509.X509Certificate, key: CryptoKey, root: x509.X509Certificate) {
    this.#issuer = issuer;
    this.#key = key;
    this.#root = root;
  }

  /** The root of a mesh, out of its state folder: the intermediate may sign for its own trust domain only. */
  static async ofMesh(caFolder: string): Promise<HandSigner> {
    const { signingRoot } = JSON.parse(readFileSync(join(caFolder, "ca.json"), "utf8")) as {
      signingRoot: string;
    };
    const root = new x509.X509Certificate(
      readFileSync(join(caFolder, `root-${signingRoot}.crt.pem`), "utf8"),
    );
    const pem = readFileSync(join(caFolder, `root-${signingRoot}.key.pem`), "utf8");
    const der = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });
    const key = await webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), ALGORITHM, false, ["sign"]);
    return new HandSigner(root, key as CryptoKey, root);
  }

  /** A CA of nobody's trust whose certificate carries the same names as the mesh's. */
  static async rogue(like: HandSigner): Promise<HandSigner> {
    const keys = await newKeys();
    const root = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: newSerial(),
      name: like.#issuer.subject,
      notBefore: new Date(Date.now() - BACKDATE_MS),
      notAfter: new Date(Date.now() + 3_600_000),
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ],
    });
    return new HandSigner(root, keys.privateKey, root);
  }

  get rootPem(): string {
    return `${this.#root.toString("pem")}\n`;
  }

  async issue({
    uris,
    ttlSeconds = 3600,
    startsInSeconds = 0,
    ca = false,
  }: HandMade): Promise<HandCredentials> {
    const keys = await newKeys();
    const now = Date.now();
    const notAfter = new Date(now + ttlSeconds * 1000);
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: newSerial(),
      issuer: this.#issuer.subject,
      notBefore: new Date(Math.min(now - BACKDATE_MS, notAfter.getTime() - 1000) + startsInSeconds * 1000),
      notAfter,
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(ca, undefined, true),
        new x509.KeyUsagesExtension(
          ca ? x509.KeyUsageFlags.keyCertSign : x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          x509.ExtendedKeyUsage.serverAuth,
        ]),
        ...(uris.length === 0
          ? []
          : [
              new x509.SubjectAlternativeNameExtension(
                uris.map((value) => ({ type: "url" as const, value })),
                true,
              ),
            ]),
      ],
    });
    const keyDer = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
    return {
      keyPem: x509.PemConverter.encode(keyDer, "PRIVATE KEY"),
      chainPem: `${leaf.toString("pem")}\n${this.#issuer.toString("pem")}\n`,
      rootPem: this.rootPem,
    };
  }
}

/** For programs that read files: `NAME.key`, `NAME.crt` (the chain) and `NAME.ca` in a folder. */
export function writeCredentials(
  folder: string,
  name: string,
  { keyPem, chainPem, rootPem }: HandCredentials,
): { key: string; chain: string; root: string } {
  const files = {
    key: join(folder, `${name}.key`),
    chain: join(folder, `${name}.crt`),
    root: join(folder, `${name}.ca`),
  };
  writeFileSync(files.key, `${keyPem}\n`, { mode: 0o600 });
  writeFileSync(files.chain, chainPem);
  writeFileSync(files.root, rootPem);
  return files;
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
}

function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}
