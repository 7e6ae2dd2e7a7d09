import { createPublicKey, generateKeyPair, type KeyObject, verify } from "node:crypto";
import { promisify } from "node:util";
import { DerError } from "./der-reader.ts";
import { OID } from "./object-ids.ts";

export type KeyAlgorithmName = "ecdsa-p256" | "ecdsa-p384" | "ed25519" | "rsa";

/** What this room needs to know about one kind of key, in one place. */
export interface KeyAlgorithm {
  readonly name: KeyAlgorithmName;
  /** What a SubjectPublicKeyInfo of this kind starts with, in hexadecimal; empty where its length varies. */
  readonly spkiPrefix: string;
  /** Length of the whole SubjectPublicKeyInfo; 0 where it varies. */
  readonly spkiBytes: number;
  /** The signature algorithm with which a CA key of this kind signs, and its hash (null: the scheme has its own). */
  readonly signatureOid: string;
  readonly hash: "sha256" | "sha384" | null;
  /** True where a signature takes so long (0.5 ms and more) that it is computed beside the event loop. */
  readonly slow: boolean;
  /** Signature algorithms accepted in a request's proof of possession. SHA-1 is in none. */
  readonly proofHashes: Readonly<Record<string, "sha256" | "sha384" | "sha512" | null>>;
  readonly generate: () => Promise<{ privateKey: KeyObject; publicKey: KeyObject }>;
}

const generate = promisify(generateKeyPair);

const ECDSA_PROOFS = {
  [OID.ecdsaWithSha256]: "sha256",
  [OID.ecdsaWithSha384]: "sha384",
  [OID.ecdsaWithSha512]: "sha512",
} as const;

const P256: KeyAlgorithm = {
  name: "ecdsa-p256",
  spkiPrefix: "3059301306072a8648ce3d020106082a8648ce3d03010703420004",
  spkiBytes: 91,
  signatureOid: OID.ecdsaWithSha256,
  hash: "sha256",
  slow: false,
  proofHashes: ECDSA_PROOFS,
  generate: () => generate("ec", { namedCurve: "P-256" }),
};

const P384: KeyAlgorithm = {
  name: "ecdsa-p384",
  spkiPrefix: "3076301006072a8648ce3d020106052b8104002203620004",
  spkiBytes: 120,
  signatureOid: OID.ecdsaWithSha384,
  hash: "sha384",
  slow: true,
  proofHashes: ECDSA_PROOFS,
  generate: () => generate("ec", { namedCurve: "P-384" }),
};

const ED25519: KeyAlgorithm = {
  name: "ed25519",
  spkiPrefix: "302a300506032b6570032100",
  spkiBytes: 44,
  signatureOid: OID.ed25519,
  hash: null,
  slow: false,
  proofHashes: { [OID.ed25519]: null },
  generate: () => generate("ed25519", {}),
};

const RSA: KeyAlgorithm = {
  name: "rsa",
  spkiPrefix: "",
  spkiBytes: 0,
  signatureOid: OID.sha256WithRsa,
  hash: "sha256",
  slow: true,
  proofHashes: {
    [OID.sha256WithRsa]: "sha256",
    [OID.sha384WithRsa]: "sha384",
    [OID.sha512WithRsa]: "sha512",
  },
  generate: () => generate("rsa", { modulusLength: 2048 }),
};

export const KEY_ALGORITHMS: Readonly<Record<KeyAlgorithmName, KeyAlgorithm>> = {
  "ecdsa-p256": P256,
  "ecdsa-p384": P384,
  ed25519: ED25519,
  rsa: RSA,
};

/** Bounds of an RSA key: below is weak, above costs the verifier too much (verification grows with the square). */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
const MAX_RSA_EXPONENT = 0xffff_ffffn;

export type KeyRefusal = { readonly weak: string };

const FIXED = [P256, P384, ED25519].map((row) => ({ row, prefix: Buffer.from(row.spkiPrefix, "hex") }));

/**
 * The kind of a public key, or why it is refused. Elliptic curves are told by the exact bytes of their one
 * canonical encoding, so compressed points, explicit parameters and other curves never reach OpenSSL. Whether a point lies on its curve
 * is for {@link verifyWith} to find: importing a key twice would cost 8 µs.
 * @throws {DerError} when the key cannot be read at all.
 */
export function readPublicKey(spki: Buffer): { algorithm: KeyAlgorithm } | KeyRefusal {
  for (const { row, prefix } of FIXED)
    if (spki.length === row.spkiBytes && spki.compare(prefix, 0, prefix.length, 0, prefix.length) === 0)
      return { algorithm: row };
  const key = importSpki(spki);
  if (key.asymmetricKeyType !== "rsa") return { weak: "only P-256, P-384, Ed25519 and RSA keys are signed" };
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS) {
    return { weak: `an RSA key has ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits, not ${modulusLength}` };
  }
  if (publicExponent < 65_537n || publicExponent > MAX_RSA_EXPONENT || publicExponent % 2n === 0n) {
    return { weak: "an RSA exponent is odd, at least 65537 and below 2^32" };
  }
  if (!key.export({ type: "spki", format: "der" }).equals(spki))
    throw new DerError("RSA key not in its canonical encoding");
  return { algorithm: RSA };
}

/** The kind of a key that this room made itself. */
export function keyAlgorithmOf(key: KeyObject): KeyAlgorithm | undefined {
  if (key.asymmetricKeyType === "rsa") return RSA;
  if (key.asymmetricKeyType === "ed25519") return ED25519;
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (curve === "prime256v1") return P256;
  return curve === "secp384r1" ? P384 : undefined;
}

/** The SubjectPublicKeyInfo of a key, private or public. */
export function spkiOf(key: KeyObject): Buffer {
  return (key.type === "private" ? createPublicKey(key) : key).export({ type: "spki", format: "der" });
}

function importSpki(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch (cause) {
    throw new DerError("public key that cannot be read", { cause });
  }
}

/**
 * Whether these bytes are signed by this key.
 * @throws {DerError} when the key is none, such as a point that is not on its curve.
 */
export function verifyWith(spki: Buffer, hash: string | null, bytes: Buffer, signature: Buffer): boolean {
  try {
    return verify(hash, bytes, { key: spki, format: "der", type: "spki" }, signature);
  } catch (cause) {
    throw new DerError("public key that cannot be read", { cause });
  }
}
