import { createPrivateKey, X509Certificate } from "node:crypto";
import { encodeCsr, verifyCsr } from "../../../src/identity/csr.ts";
import { certificateFromSession, peerFromCertificateDer } from "../../../src/identity/peer-certificate.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { makeCertificate } from "../certificates.ts";
import { type FuzzTarget, law } from "../target.ts";

/** Certificates, certificate requests, and TLS sessions, in DER. */
export const derTarget: FuzzTarget = {
  name: "der",
  about:
    "certificates and requests: refused or read as OpenSSL reads them; no changed request proves possession of its key",
  open: async () => {
    const { certificate, authority, privateKey } = makeCertificate();
    const csr = encodeCsr(createPrivateKey(privateKey));
    return {
      seeds: [certificate, authority, csr],
      words: [
        [0x30, 0x80],
        [0x30, 0x82, 0xff, 0xff],
        [0x02, 1, 0],
        [0x05, 0],
        [0x06, 3, 0x55, 0x1d, 0x11],
        [0x86, 1, 0x61],
        [0x84, 0xff, 0xff, 0xff, 0xff],
        [1, 1, 0xff],
        [0xa3],
        [0x1f],
      ].map((bytes) => Buffer.from(bytes)),
      maxInputBytes: 70_000,
      check: (input) => {
        certificateFromSession(input);
        const request = checkCsr(input, csr);
        const peer = peerFromCertificateDer(input);
        if ("error" in peer) return `${peer.error.replaceAll(/\d+/g, "n")}, ${request}`;
        const openssl = byOpenssl(input);
        if (openssl === undefined) return `only ours, ${request}`;
        const names = openssl.subjectAltName ?? "";
        if (peer.spiffeId !== undefined) {
          law(
            names
              .split(", ")
              .filter((name) => name.startsWith("URI:"))
              .join() === `URI:${peer.spiffeId}`,
            "the identity is the one URI that OpenSSL reads",
            () => names,
          );
          law(!openssl.ca, "an authority has no workload's identity");
          law(
            openssl.validToDate.getTime() === peer.notAfter.getTime(),
            "its end is OpenSSL's",
            () => openssl.validTo,
          );
        }
        law(
          openssl.fingerprint256.replaceAll(":", "").toLowerCase() === peer.sha256,
          "the hash is of these bytes",
        );
        return `certificate ${peer.spiffeId !== undefined}`;
      },
    };
  },
};

function byOpenssl(der: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(der);
  } catch {
    return undefined;
  }
}

function checkCsr(input: Buffer, own: Buffer): string {
  try {
    verifyCsr(input);
    law(input.equals(own) || input.includes(own.subarray(8, 60)), "no changed request is taken", () =>
      input.toString("hex"),
    );
    return "request";
  } catch (error) {
    if (error instanceof BulwarkError && error.code.startsWith("BW_CA_CSR_")) return error.code;
    throw error;
  }
}
