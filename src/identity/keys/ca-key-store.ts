import type { KeyAlgorithm } from "../key-algorithm.ts";
import type { CaSigner } from "./ca-signer.ts";

export type CaKeyRole = "root" | "intermediate";

/** Where a CA keeps its own keys. A key is named by its role and its key identifier (40 hexadecimal digits). */
export interface CaKeyStore {
  /** For messages: `files in PATH`, `PKCS#11 token LABEL`. */
  readonly name: string;
  /** Makes a key and keeps it; when this resolves, a kill loses it no more. @throws {BulwarkError} BW_KEYSTORE_…, BW_PKCS11_… */
  generate(role: CaKeyRole, algorithm: KeyAlgorithm): Promise<CaSigner>;
  /**
   * A key that `generate` made. @returns undefined when it is not here: a root's key may be kept elsewhere while no intermediate is due.
   * @throws {BulwarkError} BW_KEYSTORE_…, BW_PKCS11_…
   */
  open(role: CaKeyRole, keyId: string): Promise<CaSigner | undefined>;
  /** Refuses a key that others could read, without reading it. Absent keys pass. @throws {BulwarkError} BW_KEYSTORE_FILE_MODE */
  inspect(role: CaKeyRole, keyId: string): void;
  /** Deletes a key for good; one that is not here is deleted already. @throws {BulwarkError} BW_KEYSTORE_…, BW_PKCS11_… */
  destroy(role: CaKeyRole, keyId: string): Promise<void>;
}
