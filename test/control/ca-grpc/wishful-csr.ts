/** Certificate requests that ask for things, by another implementation than ours. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from "@peculiar/x509";

export interface Wishes {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ca?: boolean;
  readonly certSign?: boolean;
  /** As WebCrypto names keys and signatures; default ECDSA with P-256. */
  readonly key?: Algorithm & {
    readonly hash: string;
    readonly namedCurve?: string;
    readonly modulusLength?: number;
    readonly publicExponent?: Uint8Array;
  };
}

interface Algorithm {
  readonly name: string;
}

const P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** PEM. */
export async function wishfulCsr({
  uris = [],
  dnsNames = [],
  ca,
  certSign,
  key = P256,
}: Wishes): Promise<string> {
  const keys = (await webcrypto.subtle.generateKey(key, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const names = [
    ...uris.map((value) => ({ type: "url", value }) as const),
    ...dnsNames.map((value) => ({ type: "dns", value }) as const),
  ];
  const extensions: Extension[] = [];
  if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
  if (ca === true) extensions.push(new BasicConstraintsExtension(true));
  if (certSign === true) extensions.push(new KeyUsagesExtension(KeyUsageFlags.keyCertSign));
  const request = await Pkcs10CertificateRequestGenerator.create(
    { name: "CN=anybody", keys, signingAlgorithm: key, extensions },
    webcrypto as Crypto,
  );
  return `${request.toString("pem")}\n`;
}
