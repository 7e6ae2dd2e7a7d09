import { generateKeyPairSync, hash, randomBytes } from "node:crypto";
import { readPublicKeyBits } from "../../../src/identity/certificate-der.ts";
import { contextTag, TAG } from "../../../src/identity/der-reader.ts";
import { der, derOid, encodeDer } from "../../../src/identity/der-writer.ts";
import { memorySigner } from "../../../src/identity/keys/ca-signer.ts";
import { OID } from "../../../src/identity/object-ids.ts";
import { type OcspRequest, readOcspRequest } from "../../../src/identity/revocation/ocsp-request.ts";
import { OcspResponder } from "../../../src/identity/revocation/ocsp-responder.ts";
import { OCSP_ERRORS, type OcspStatus } from "../../../src/identity/revocation/ocsp-response.ts";
import { readOcspResponse } from "../../../src/identity/revocation/read-ocsp-response.ts";
import { type Issuer, issueCertificate, readIssuerCertificate } from "../../../src/identity/sign.ts";
import { authorityTemplate, serialFrom, validityFrom } from "../../../src/identity/template.ts";
import { parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import { type FuzzTarget, law } from "../target.ts";

const STATUSES: readonly OcspStatus[] = [
  "good",
  "unknown",
  { revokedAtMs: Date.parse("2026-01-02T03:04:05Z"), reason: "keyCompromise" },
];

/** OCSP requests and, with the same bytes, responses. */
export const ocspTarget: FuzzTarget = {
  name: "ocsp",
  about:
    "OCSP requests: refused as malformed, or each certificate that is asked about is answered for, in order, with the nonce",
  open: async () => {
    const issuer = await makeIssuer();
    const responder = new OcspResponder({
      issuers: async () => [issuer],
      statusOf: async (_issuer, serial) => statusOf(serial),
    });
    return {
      seeds: seedsFor(issuer),
      words: words(),
      maxInputBytes: 20_000,
      check: async (input) => {
        const response = readOcspResponse(input);
        const request = readOcspRequest(input);
        const { der: answer } = await responder.answer(input);
        if ("error" in request) {
          law(answer.equals(OCSP_ERRORS.malformedRequest), "what cannot be read is malformed");
          return `${request.error.replaceAll(/\d+/g, "n")}, ${"error" in response}`;
        }
        checkReading(input, request);
        return checkAnswer(request, answer);
      },
    };
  },
};

function checkReading(input: Buffer, { certificates, nonce }: OcspRequest): void {
  for (const { der: id, serial } of certificates) {
    law(input.includes(id), "a CertID is bytes of the request");
    law(id.toString("hex").endsWith(serial), "the serial stands last in the CertID");
  }
  law(nonce === undefined || input.includes(nonce), "the nonce is bytes of the request");
}

function checkAnswer({ certificates, nonce }: OcspRequest, answer: Buffer): string {
  if (answer.equals(OCSP_ERRORS.unauthorized)) return "unauthorized";
  const read = readOcspResponse(answer);
  law(!("error" in read), "our own answer can be read", () => answer.toString("hex"));
  const asked = certificates.map(({ serial }) => serial).join();
  law(read.answers.map(({ serial }) => serial).join() === asked, "answers are of what was asked, in order");
  for (const { der: id } of certificates) law(answer.includes(id), "the CertID is repeated as it came");
  law(nonce === undefined || answer.includes(nonce), "the nonce is repeated as it came");
  return `answered ${read.answers.map(({ status }) => status).join()} ${nonce === undefined}`;
}

/** Any that the same serial always has. */
function statusOf(serial: string): OcspStatus {
  return STATUSES[(Buffer.from(serial, "hex").at(-1) ?? 0) % STATUSES.length] ?? "unknown";
}

async function makeIssuer(): Promise<Issuer> {
  const key = memorySigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  const trustDomain = parseTrustDomain("fuzz.example");
  if (trustDomain === undefined) throw new Error("BUG: a bad trust domain");
  const validity = validityFrom(Date.now(), 86_400);
  const template = authorityTemplate({
    trustDomain,
    spki: key.spki,
    validity,
    serial: serialFrom(randomBytes(16)),
  });
  return { ...readIssuerCertificate(await issueCertificate(template, key)), key };
}

function seedsFor({ subject, spki }: Issuer): Buffer[] {
  const id = (serial: string, name: "sha1" | "sha256") =>
    der(
      TAG.sequence,
      der(TAG.sequence, derOid(OID[name]), der(TAG.null)),
      der(TAG.octetString, hash(name, subject, "buffer")),
      der(TAG.octetString, hash(name, readPublicKeyBits(spki), "buffer")),
      der(TAG.integer, Buffer.from(serial, "hex")),
    );
  const nonce = der(
    contextTag(2),
    der(
      TAG.sequence,
      der(
        TAG.sequence,
        derOid(OID.ocspNonce),
        der(TAG.octetString, der(TAG.octetString, Buffer.alloc(16, 5))),
      ),
    ),
  );
  const request = (...parts: Parameters<typeof der>[1][]) =>
    encodeDer(der(TAG.sequence, der(TAG.sequence, ...parts)));
  const one = der(TAG.sequence, der(TAG.sequence, id("0a", "sha1")));
  const two = der(TAG.sequence, der(TAG.sequence, id("0b", "sha1")), der(TAG.sequence, id("00ff", "sha256")));
  const version = der(contextTag(0), der(TAG.integer, Buffer.from([0])));
  return [request(one), request(one, nonce), request(version, two, nonce)];
}

function words(): Buffer[] {
  return [
    [0x30, 0x80],
    [0x30, 0x82, 0xff, 0xff],
    [0x02, 1, 0x80],
    [0x02, 2, 0, 1],
    [0x05, 0],
    [0x04, 0],
    [0x0a, 1, 0],
    [1, 1, 0xff],
    [0xa0, 0],
    [0xa1, 0],
    [0xa2, 0],
    [0x84, 0xff, 0xff, 0xff, 0xff],
    [0x06, 5, 0x2b, 0x0e, 0x03, 0x02, 0x1a],
    [0x1f],
  ].map((bytes) => Buffer.from(bytes));
}
