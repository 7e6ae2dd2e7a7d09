import { createPublicKey, X509Certificate } from "node:crypto";
import type { JWK } from "jose";
import type { TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** A key that signs JWT-SVIDs. */
export interface JwtAuthority {
  readonly kid: string;
  /** A public JWK (RFC 7517) with nothing of the private key. */
  readonly jwk: Readonly<JWK>;
}

/** What a trust domain's identities are verified against. */
export interface TrustBundle {
  readonly trustDomain: TrustDomain;
  /** Root certificates, in DER. */
  readonly x509Authorities: readonly Buffer[];
  readonly jwtAuthorities: readonly JwtAuthority[];
  /** `spiffe_sequence`: rises with each change; undefined where the publisher does not count. */
  readonly sequence: number | undefined;
  /** `spiffe_refresh_hint`: how often to look for a newer one; undefined where it is left to the reader. */
  readonly refreshHintSeconds: number | undefined;
}

/** Roots and keys of a large domain in the midst of a rotation are some tens; more is not a bundle to keep in memory. */
const MAX_KEYS = 256;
/** What can verify a JWT-SVID: asymmetric keys only, so that no public key can be used as a shared secret. */
const JWT_KEY_TYPES: ReadonlySet<unknown> = new Set(["EC", "RSA"]);

/** The document of a bundle endpoint. @see SPIFFE Trust Domain and Bundle specification §4 */
export function printSpiffeBundle(bundle: TrustBundle): string {
  return JSON.stringify({
    ...(bundle.sequence === undefined ? {} : { spiffe_sequence: bundle.sequence }),
    ...(bundle.refreshHintSeconds === undefined ? {} : { spiffe_refresh_hint: bundle.refreshHintSeconds }),
    keys: [...bundle.x509Authorities.map(x509Key), ...bundle.jwtAuthorities.map(jwtKey)],
  });
}

/** The JWT authorities alone, as the Workload API hands them out: a JWKS (RFC 7517 §5). */
export function printJwtBundle(bundle: Pick<TrustBundle, "jwtAuthorities">): string {
  return JSON.stringify({ keys: bundle.jwtAuthorities.map(jwtKey) });
}

function x509Key(certificate: Buffer): object {
  const { publicKey } = new X509Certificate(certificate);
  return {
    use: "x509-svid",
    ...publicKey.export({ format: "jwk" }),
    x5c: [certificate.toString("base64")],
  };
}

function jwtKey({ kid, jwk }: JwtAuthority): object {
  return { use: "jwt-svid", kid, ...jwk };
}

/**
 * Reads such a document. Keys of a `use` that is not known are passed over, as the specification asks; one of a known use that
 * cannot be read refuses the whole: a bundle is replaced whole, and half of one would drop trust without anyone having asked for it.
 * @throws {BulwarkError} BW_TRUST_BUNDLE_INVALID; the message never quotes the document.
 */
export function parseSpiffeBundle(trustDomain: TrustDomain, text: string): TrustBundle {
  const document = recordOf(parseJson(text)) ?? invalid("it is no JSON object");
  const keys = document.keys;
  if (!Array.isArray(keys)) invalid("it has no list `keys`");
  if (keys.length > MAX_KEYS) invalid(`it has more than ${MAX_KEYS} keys`);
  const records = keys.map((key) => recordOf(key) ?? invalid("one of its keys is no object"));
  const x509Authorities = records.filter(({ use }) => use === "x509-svid").map(readRoot);
  const jwtAuthorities = records.filter(({ use }) => use === "jwt-svid").map(readJwtKey);
  if (new Set(jwtAuthorities.map(({ kid }) => kid)).size !== jwtAuthorities.length)
    invalid("two of its keys for JWT-SVIDs have one `kid`");
  return {
    trustDomain,
    x509Authorities,
    jwtAuthorities,
    sequence: wholeNumber(document.spiffe_sequence, "spiffe_sequence"),
    refreshHintSeconds: wholeNumber(document.spiffe_refresh_hint, "spiffe_refresh_hint"),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function recordOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

function readRoot({ x5c }: Fields): Buffer {
  const [text, ...more] = Array.isArray(x5c) ? x5c : [];
  if (typeof text !== "string" || more.length > 0)
    invalid("a key for X.509-SVIDs has not exactly one certificate in `x5c`");
  const der = Buffer.from(text, "base64");
  let root: X509Certificate;
  try {
    root = new X509Certificate(der);
  } catch {
    invalid("a certificate in it cannot be read");
  }
  // What stands behind a certificate would go with it into every place that this one is copied to.
  if (!root.raw.equals(der)) invalid("a certificate in it has something behind its end");
  if (!root.ca) invalid("a certificate in it may not sign others");
  return der;
}

function readJwtKey(key: Fields): JwtAuthority {
  const { kid, kty, crv, x, y, n, e } = key;
  if (typeof kid !== "string" || kid === "") invalid("a key for JWT-SVIDs has no `kid`");
  if (!JWT_KEY_TYPES.has(kty) || "d" in key) invalid("a key for JWT-SVIDs is no public EC or RSA key");
  // Only what makes the public key: nothing else that stands there is to be kept, or handed on.
  const jwk = (kty === "EC" ? { kty, crv, x, y } : { kty, n, e }) as JWK;
  try {
    createPublicKey({ key: jwk as never, format: "jwk" });
  } catch {
    invalid("a key for JWT-SVIDs cannot be read");
  }
  return { kid, jwk };
}

function wholeNumber(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  invalid(`its \`${name}\` is no whole number`);
}

function invalid(why: string): never {
  throw new BulwarkError("BW_TRUST_BUNDLE_INVALID", `the trust bundle is refused: ${why}`, {
    detail: { why },
  });
}
