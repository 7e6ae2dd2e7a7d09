import "reflect-metadata";
import { webcrypto } from "node:crypto";

/** A well-made certificate request, in DER, that asks for this name as subject and as SAN. The CA must not read either. */
export async function csrNaming(uri: string): Promise<Buffer> {
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } = await import(
    "@peculiar/x509"
  );
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      name: `CN=${uri.replaceAll("/", "\\/")}`,
      keys: keys as Parameters<typeof Pkcs10CertificateRequestGenerator.create>[0]["keys"],
      signingAlgorithm: algorithm,
      extensions: [new SubjectAlternativeNameExtension([{ type: "url", value: uri }])],
    },
    webcrypto as Crypto,
  );
  return Buffer.from(request.rawData);
}
