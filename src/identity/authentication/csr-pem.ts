import { BulwarkError } from "../../resources/bulwark-error.ts";

/** Room for the largest request that is signed, in base64. */
const MAX_CHARS = 24_576;
/** One block and nothing around it. Old OpenSSL writes NEW (RFC 7468 §7). */
const REQUEST =
  /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1CERTIFICATE REQUEST-----\s*$/;

/**
 * The DER of a certificate request in PEM.
 * @throws {BulwarkError} BW_CA_CSR_TOO_LARGE, BW_CA_CSR_MALFORMED.
 */
export function decodeCsrPem(text: string): Buffer {
  if (text.length > MAX_CHARS)
    throw new BulwarkError(
      "BW_CA_CSR_TOO_LARGE",
      `a certificate request in PEM has at most ${MAX_CHARS} characters`,
    );
  const base64 = REQUEST.exec(text)?.[2]?.replaceAll(/[\r\n]/g, "");
  const der = base64 === undefined ? undefined : Buffer.from(base64, "base64");
  // What Buffer.from() passes over, such as bits behind the last byte, must not come back as something else.
  if (der === undefined || der.toString("base64") !== base64)
    throw new BulwarkError("BW_CA_CSR_MALFORMED", "the certificate request is not one block of PEM");
  return der;
}
