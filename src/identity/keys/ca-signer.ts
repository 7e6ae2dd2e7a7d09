import { type KeyObject, sign } from "node:crypto";
import { type KeyAlgorithm, keyAlgorithmOf, spkiOf } from "../key-algorithm.ts";

/**
 * A private key that signs for the CA, wherever it is kept: in this process, or in a device that never gives it out. All that
 * the CA signs goes through here: certificates, revocation lists, answers about revocation.
 */
export interface CaSigner {
  readonly algorithm: KeyAlgorithm;
  /** SubjectPublicKeyInfo of its public half. */
  readonly spki: Buffer;
  /**
   * The signature over these bytes, hashing included, in the form in which X.509 carries it.
   * @throws {BulwarkError} BW_KEY_… when the key's place does not sign.
   */
  sign(bytes: Buffer): Promise<Buffer>;
}

/** A key in this process's memory. @throws when the key is of a kind that no certificate names. */
export function memorySigner(key: KeyObject): CaSigner {
  const algorithm = keyAlgorithmOf(key);
  if (algorithm === undefined) throw new Error("BUG: a signing key of a kind that no certificate names");
  // A P-256 signature takes 20 µs, less than a thread's round trip; the slow kinds are computed beside the event loop.
  const signNow = async (bytes: Buffer) => sign(algorithm.hash, bytes, key);
  return { algorithm, spki: spkiOf(key), sign: algorithm.slow ? inThread(algorithm, key) : signNow };
}

function inThread({ hash }: KeyAlgorithm, key: KeyObject): (bytes: Buffer) => Promise<Buffer> {
  return (bytes) => {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    sign(hash, bytes, key, (error, signature) => (error ? reject(error) : resolve(signature)));
    return promise;
  };
}
