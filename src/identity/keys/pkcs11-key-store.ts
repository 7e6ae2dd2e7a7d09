import { hash, randomBytes } from "node:crypto";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { DerError } from "../der-reader.ts";
import type { KeyAlgorithm, KeyAlgorithmName } from "../key-algorithm.ts";
import { readPublicKey } from "../key-algorithm.ts";
import { keyIdentifier } from "../template.ts";
import type { CaKeyRole, CaKeyStore } from "./ca-key-store.ts";
import type { CaSigner } from "./ca-signer.ts";
import { Pkcs11Tool } from "./pkcs11-tool.ts";
import { type Pkcs11Token, parsePkcs11Uri } from "./pkcs11-uri.ts";

interface Mechanism {
  readonly keyType: string;
  /** Arguments of a signature, and whether the token is given the hash instead of the bytes. */
  readonly sign: readonly string[];
  readonly hash: "sha256" | undefined;
}

const ECDSA = ["--mechanism", "ECDSA", "--signature-format", "openssl"];

/** Not EdDSA, whose keys tokens encode in several ways, and not P-384, whose public key pkcs11-tool 0.23 makes but does not read. */
const MECHANISMS: Readonly<Partial<Record<KeyAlgorithmName, Mechanism>>> = {
  "ecdsa-p256": { keyType: "EC:prime256v1", sign: ECDSA, hash: "sha256" },
  rsa: { keyType: "rsa:2048", sign: ["--mechanism", "SHA256-RSA-PKCS"], hash: undefined },
};

/**
 * Keys that are made in a PKCS#11 token and never leave it. A key's CKA_ID is its key identifier, its label tells the role. A kill between the making and the naming
 * of a key leaves one in the token that nothing refers to.
 */
export class Pkcs11KeyStore implements CaKeyStore {
  readonly name: string;
  readonly #tool: Pkcs11Tool;

  /** @param refusedPinFile as Pkcs11Tool takes it. */
  constructor(token: Pkcs11Token, refusedPinFile?: string) {
    this.name = `PKCS#11 token ${token.token}`;
    this.#tool = new Pkcs11Tool(token, refusedPinFile);
  }

  /** @throws {BulwarkError} BW_PKCS11_URI */
  static at(uri: string, refusedPinFile?: string): Pkcs11KeyStore {
    return new Pkcs11KeyStore(parsePkcs11Uri(uri), refusedPinFile);
  }

  async generate(role: CaKeyRole, algorithm: KeyAlgorithm): Promise<CaSigner> {
    const { keyType } = mechanismOf(algorithm);
    const made = randomBytes(20).toString("hex");
    await this.#tool.run(["--keypairgen", "--key-type", keyType, "--label", label(role), "--id", made]);
    const spki = await this.#publicKey(made);
    const keyId = keyIdentifier(spki).toString("hex");
    for (const type of ["privkey", "pubkey"])
      await this.#tool.run(["--id", made, "--set-id", keyId, "--type", type]);
    return this.#signer(spki, keyId);
  }

  async open(_role: CaKeyRole, keyId: string): Promise<CaSigner | undefined> {
    const objects = (await this.#tool.run(["--list-objects", "--type", "privkey"])).toString("latin1");
    if (!new RegExp(`^\\s*ID:\\s+${keyId}\\s*$`, "m").test(objects)) return undefined;
    return this.#signer(await this.#publicKey(keyId), keyId);
  }

  inspect(): void {}

  async destroy(role: CaKeyRole, keyId: string): Promise<void> {
    if ((await this.open(role, keyId)) === undefined) return;
    for (const type of ["privkey", "pubkey"])
      await this.#tool.run(["--delete-object", "--id", keyId, "--type", type]);
  }

  #publicKey(id: string): Promise<Buffer> {
    return this.#tool.run(["--read-object", "--type", "pubkey", "--id", id]);
  }

  #signer(spki: Buffer, keyId: string): CaSigner {
    const algorithm = algorithmOf(spki);
    const { sign, hash: digest } = mechanismOf(algorithm);
    return {
      algorithm,
      spki,
      sign: (bytes) =>
        this.#tool.run(
          ["--sign", "--id", keyId, ...sign],
          digest === undefined ? bytes : hash(digest, bytes, "buffer"),
        ),
    };
  }
}

function label(role: CaKeyRole): string {
  return `bulwark-${role}`;
}

function mechanismOf({ name }: KeyAlgorithm): Mechanism {
  const mechanism = MECHANISMS[name];
  if (mechanism !== undefined) return mechanism;
  throw new BulwarkError("BW_PKCS11_KEY_KIND", `keys of ${name} are not kept in PKCS#11 tokens`);
}

function algorithmOf(spki: Buffer): KeyAlgorithm {
  try {
    const read = readPublicKey(spki);
    if ("algorithm" in read) return read.algorithm;
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
  }
  throw new BulwarkError(
    "BW_PKCS11_KEY_KIND",
    "the token's key is of a kind that no certificate of a CA names",
  );
}
