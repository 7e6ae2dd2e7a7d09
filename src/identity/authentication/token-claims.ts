import { hash } from "node:crypto";
import { decodeJwt } from "jose";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { MAX_TOKEN_CHARS } from "../service-account-token.ts";

/** Who a token says has made it: enough to choose who checks it, never to believe it. @throws {BulwarkError} BW_TOKEN_MALFORMED, BW_TOKEN_ISSUER; the message holds nothing of the token. */
export function readClaimedIssuer(jwt: string): string {
  const malformed = (why: string) => new BulwarkError("BW_TOKEN_MALFORMED", why);
  if (jwt.length > MAX_TOKEN_CHARS) throw malformed("the token is longer than any that is accepted");
  let issuer: unknown;
  try {
    issuer = decodeJwt(jwt).iss;
  } catch {
    throw malformed("the token cannot be read");
  }
  if (typeof issuer === "string" && issuer !== "") return issuer;
  throw new BulwarkError("BW_TOKEN_ISSUER", "the token names no issuer");
}

/**
 * A name for a verified token, the same each time it is shown. Without a `jti` it is made of what was signed: the signature can be
 * written in two ways (ECDSA's s and n − s), so the whole text would name one token twice.
 */
export function tokenKeyOf(jwt: string, issuer: string, tokenId: string | undefined): string {
  const text = tokenId === undefined ? jwt.slice(0, jwt.lastIndexOf(".")) : `jti\n${issuer}\n${tokenId}`;
  return hash("sha256", text, "base64url");
}
