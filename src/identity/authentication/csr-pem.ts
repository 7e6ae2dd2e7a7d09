import { BulwarkError } from "../../resources/bulwark-error.ts";

/** As `verifyCsr` has it; and room for that in base64. */
const MAX_DER_BYTES = 16_384;
const MAX_CHARS = 24_576;
/** One block and nothing around it. Old OpenSSL writes NEW (RFC 7468 §7). */
const REQUEST =
  /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1CERTIFICATE REQUEST-----\s*$/;

/**
 * The DER of a certificate request in PEM.
 * @throws {BulwarkError} BW_CA_CSR_TOO_LARGE, BW_CA_CSR_MALFORMED.
 */
export function decodeCsrPem(text: string): Buffer {
  if (text.length > MAX_CHARS) throw tooLarge();
  const base64 = REQUEST.exec(text)?.[2]?.replaceAll(/[\r\n]/g, "");
  const der = base64 === undefined ? undefined : Buffer.from(base64, "base64");
  // What Buffer.from() passes over, such as bits behind the last byte, must not come back as something else.
  if (der === undefined || der.toString("base64") !== base64)
    throw new BulwarkError("BW_CA_CSR_MALFORMED", "the certificate request is not one block of PEM");
  if (der.length > MAX_DER_BYTES) throw tooLarge();
  return der;
}

function tooLarge(): BulwarkError {
  return new BulwarkError("BW_CA_CSR_TOO_LARGE", `a certificate request has at most ${MAX_DER_BYTES} bytes`);
}
