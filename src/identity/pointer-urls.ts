import type { RevocationPointers } from "./revocation-pointers.ts";

/** As configured: `{issuer}` in a URL stands for the key identifier of whoever signs. */
export interface PointerUrls {
  readonly crlUrls?: readonly string[];
  readonly ocspUrls?: readonly string[];
}

const ISSUER = "{issuer}";
/** They are in every certificate, and sent with every handshake. */
const MAX_URL_LENGTH = 256;

/**
 * Whether a certificate can point there: plain http, since a client would have to verify the other server's certificate before it can ask about the
 * first one's (RFC 5280 §8). What is there is signed.
 */
export function isPointerUrl(text: string): boolean {
  const url = URL.parse(text.replaceAll(ISSUER, "0".repeat(40)));
  const isPlain = /^[\x21-\x7e]+$/.test(text) && text.length <= MAX_URL_LENGTH;
  return isPlain && url !== null && url.protocol === "http:" && url.username === "" && url.hash === "";
}

/** @param issuerKeyId lower-case hexadecimal. @returns undefined where no URL is configured. */
export function pointersOf(urls: PointerUrls, issuerKeyId: string): RevocationPointers | undefined {
  const { crlUrls = [], ocspUrls = [] } = urls;
  if (crlUrls.length + ocspUrls.length === 0) return undefined;
  const ofIssuer = (url: string) => url.replaceAll(ISSUER, issuerKeyId);
  return { crlUrls: crlUrls.map(ofIssuer), ocspUrls: ocspUrls.map(ofIssuer) };
}

/**
 * As {@link pointersOf}, of an intermediate: its root's list. Only URLs with `{issuer}`, since any other is that of the intermediate's own list; no OCSP, whose
 * responder knows workloads' certificates alone.
 */
export function authorityPointersOf(
  urls: PointerUrls | undefined,
  rootKeyId: string,
): RevocationPointers | undefined {
  const crlUrls = (urls?.crlUrls ?? []).filter((url) => url.includes(ISSUER));
  return pointersOf({ crlUrls }, rootKeyId);
}

/** The URLs of what is served at an address by `up --revocation-http`. */
export function publishedUrls(origin: string): { readonly crl: string; readonly ocsp: string } {
  return { crl: `${origin}/crl/${ISSUER}.crl`, ocsp: `${origin}/ocsp` };
}
