import { createCipheriv, createPrivateKey, type KeyObject, pbkdf2Sync, randomBytes } from "node:crypto";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { TAG } from "../der-reader.ts";
import { der, derOid, encodeDer } from "../der-writer.ts";
import { keyAlgorithmOf } from "../key-algorithm.ts";
import { encodePem } from "../pem.ts";

const ENCRYPTED = "ENCRYPTED PRIVATE KEY";
/** What OWASP asks of PBKDF2 with SHA-256; 0.2 s once at the start. Node's own export has no way to go above OpenSSL's 2048. */
const ITERATIONS = 600_000;

/** RFC 8018 (PBES2, PBKDF2), RFC 3565 (AES), in hexadecimal as elsewhere in this room. */
const PBES2 = "2a864886f70d01050d";
const PBKDF2 = "2a864886f70d01050c";
const HMAC_SHA256 = "2a864886f70d0209";
const AES_256_CBC = "60864801650304012a";

export function isEncryptedKey(pem: string): boolean {
  return pem.includes(`-----BEGIN ${ENCRYPTED}-----`) || /^Proc-Type: 4,ENCRYPTED/m.test(pem);
}

/**
 * PKCS#8 as PEM: in the clear, or encrypted with AES-256 under a key derived by PBKDF2-HMAC-SHA-256 (RFC 5958, RFC 8018), which OpenSSL and every other
 * tool reads.
 */
export function printPrivateKey(key: KeyObject, passphrase?: string): string {
  if (passphrase === undefined) return key.export({ type: "pkcs8", format: "pem" }).toString();
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-cbc", pbkdf2Sync(passphrase, salt, ITERATIONS, 32, "sha256"), iv);
  const plain = key.export({ type: "pkcs8", format: "der" });
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  plain.fill(0);
  const derivation = der(
    TAG.sequence,
    derOid(PBKDF2),
    der(
      TAG.sequence,
      der(TAG.octetString, salt),
      der(TAG.integer, iterations()),
      der(TAG.sequence, derOid(HMAC_SHA256), der(TAG.null)),
    ),
  );
  const scheme = der(TAG.sequence, derOid(AES_256_CBC), der(TAG.octetString, iv));
  const algorithm = der(TAG.sequence, derOid(PBES2), der(TAG.sequence, derivation, scheme));
  return encodePem(ENCRYPTED, encodeDer(der(TAG.sequence, algorithm, der(TAG.octetString, encrypted))));
}

/** 600,000 in three bytes, the first below 0x80. */
function iterations(): Buffer {
  const bytes = Buffer.alloc(3);
  bytes.writeUIntBE(ITERATIONS, 0, 3);
  return bytes;
}

/**
 * A private key from PEM (PKCS#8, PKCS#1 or SEC 1), encrypted or not.
 * @param place names where it stood, for messages, which never quote what was read.
 * @throws {BulwarkError} BW_KEYSTORE_BAD_KEY, BW_KEYSTORE_PASSPHRASE_NEEDED, BW_KEYSTORE_PASSPHRASE_WRONG, BW_KEYSTORE_KEY_KIND
 */
export function parsePrivateKey(pem: string, place: string, passphrase?: string): KeyObject {
  const encrypted = isEncryptedKey(pem);
  if (encrypted && passphrase === undefined)
    throw new BulwarkError(
      "BW_KEYSTORE_PASSPHRASE_NEEDED",
      `${place} is encrypted: its passphrase is needed`,
    );
  const key = importKey(pem, place, encrypted ? passphrase : undefined);
  if (keyAlgorithmOf(key) !== undefined) return key;
  throw new BulwarkError(
    "BW_KEYSTORE_KEY_KIND",
    `${place} holds a key of another kind than P-256, P-384, Ed25519 and RSA`,
  );
}

function importKey(pem: string, place: string, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase });
  } catch {
    // Without its cause: OpenSSL's message may quote what it read.
    if (passphrase !== undefined)
      throw new BulwarkError("BW_KEYSTORE_PASSPHRASE_WRONG", `${place} does not open with the passphrase`);
    throw new BulwarkError("BW_KEYSTORE_BAD_KEY", `${place} holds no private key; restore it from a backup`);
  }
}
