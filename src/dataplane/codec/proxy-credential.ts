import { createHash, timingSafeEqual } from "node:crypto";

/** User and password that an explicit proxy asks for. Holds digests only. */
export class ProxyCredential {
  readonly #digest: Buffer;

  constructor(user: string, password: string) {
    this.#digest = digestOf(Buffer.from(user, "utf8"), Buffer.from(password, "utf8"));
  }

  /** Constant time in what is compared: both sides are digests, and user and password are judged together. */
  matches(user: Buffer, password: Buffer): boolean {
    return timingSafeEqual(this.#digest, digestOf(user, password));
  }
}

/** The length before the user keeps ("a:b", "c") and ("a", "b:c") apart. */
function digestOf(user: Buffer, password: Buffer): Buffer {
  return createHash("sha256").update(`${user.length}:`).update(user).update(password).digest();
}
