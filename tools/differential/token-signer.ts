/** Issuers with real keys, one each, and tokens of theirs. Signatures are remembered: a run asks for few tokens, often. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { ISSUERS } from "./alphabets.ts";
import type { TokenSpec } from "./differential-case.ts";

interface Issuer {
  readonly privateKey: KeyObject;
  readonly keySet: string;
}

export class TokenSigner {
  readonly #issuers = new Map<string, Issuer>();
  readonly #nobody: Issuer = newIssuer("nobody");
  readonly #signed = new Map<string, string>();

  constructor() {
    for (const name of ISSUERS) this.#issuers.set(name, newIssuer(name));
  }

  /** The issuer's JWKS document. */
  keySet(issuer: string): string {
    return (this.#issuers.get(issuer) ?? this.#nobody).keySet;
  }

  sign({ claims, signer, flaw }: TokenSpec): string {
    const key = JSON.stringify([claims, signer]);
    const known = this.#signed.get(key) ?? this.#make(claims, signer);
    this.#signed.set(key, known);
    if (flaw === "garbage") return "nonsense";
    return flaw === "truncated" ? known.slice(0, known.lastIndexOf(".")) : known;
  }

  #make(claims: TokenSpec["claims"], signer: TokenSpec["signer"]): string {
    const issuer = signer === "issuer" ? this.#issuers.get(String(claims.iss)) : undefined;
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${encode({ alg: "ES256", typ: "JWT" })}.${encode(claims)}`;
    const { privateKey } = issuer ?? this.#nobody;
    const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  }
}

function newIssuer(kid: string): Issuer {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { ...publicKey.export({ format: "jwk" }), kid, alg: "ES256", use: "sig" };
  return { privateKey, keySet: JSON.stringify({ keys: [key] }) };
}
