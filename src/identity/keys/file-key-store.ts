import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import type { KeyAlgorithm } from "../key-algorithm.ts";
import { spkiOf } from "../key-algorithm.ts";
import { checkPrivateFileMode, readPrivateFile, removePrivateFile, writePrivateFile } from "../key-store.ts";
import { keyIdentifier } from "../template.ts";
import type { CaKeyRole, CaKeyStore } from "./ca-key-store.ts";
import { type CaSigner, memorySigner } from "./ca-signer.ts";
import { isEncryptedKey, parsePrivateKey, printPrivateKey } from "./private-key-pem.ts";

/**
 * Keys as PKCS#8 PEM, mode 0600, in the folder of the CA; encrypted where a passphrase is given. A key that was kept in the
 * clear before is encrypted when it is next opened.
 */
export class FileKeyStore implements CaKeyStore {
  readonly name: string;
  readonly #folder: string;
  readonly #passphrase: string | undefined;

  constructor(folder: string, passphrase?: string) {
    this.name = `files in ${folder}`;
    this.#folder = folder;
    this.#passphrase = passphrase;
  }

  async generate(role: CaKeyRole, algorithm: KeyAlgorithm): Promise<CaSigner> {
    const { privateKey } = await algorithm.generate();
    const keyId = keyIdentifier(spkiOf(privateKey)).toString("hex");
    this.#write(this.#path(role, keyId), privateKey);
    return memorySigner(privateKey);
  }

  async open(role: CaKeyRole, keyId: string): Promise<CaSigner | undefined> {
    const path = this.#path(role, keyId);
    const pem = readPrivateFile(path);
    if (pem === undefined) return undefined;
    const key = parsePrivateKey(pem, path, this.#passphrase);
    if (this.#passphrase !== undefined && !isEncryptedKey(pem)) this.#write(path, key);
    return memorySigner(key);
  }

  inspect(role: CaKeyRole, keyId: string): void {
    checkPrivateFileMode(this.#path(role, keyId));
  }

  async destroy(role: CaKeyRole, keyId: string): Promise<void> {
    removePrivateFile(this.#path(role, keyId));
  }

  #write(path: string, key: KeyObject): void {
    writePrivateFile(path, printPrivateKey(key, this.#passphrase));
  }

  #path(role: CaKeyRole, keyId: string): string {
    return join(this.#folder, `${role}-${keyId}.key.pem`);
  }
}
