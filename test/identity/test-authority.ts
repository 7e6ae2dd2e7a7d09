/** Authorities that sign whatever a test asks of them, and what none of ours would. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { encodePem } from "../../src/identity/pem.ts";
import { type Signer, signCertificate, signerFrom } from "../../src/identity/sign.ts";
import {
  authorityTemplate,
  type CertificateTemplate,
  EMPTY_NAME,
  keyIdentifier,
  serialFrom,
  validityFrom,
} from "../../src/identity/template.ts";
import { trustDomain } from "./mesh-fixture.ts";

const TTL_SECONDS = 3600;

export interface TestLeaf {
  readonly der: Buffer;
  /** As `tls.connect` takes them, with the authorities between leaf and root. */
  readonly key: string;
  readonly cert: string;
}

export class TestAuthority {
  readonly signer: Signer;
  /** From this one up to, not including, the root. */
  readonly chain: readonly Buffer[];
  readonly root: Buffer;

  private constructor(signer: Signer, chain: readonly Buffer[], root: Buffer) {
    this.signer = signer;
    this.chain = chain;
    this.root = root;
  }

  static root(name: string, change: Partial<CertificateTemplate> = {}): TestAuthority {
    const signer = authority(name, undefined, change);
    return new TestAuthority(signer, [], signer.certificate);
  }

  below(name: string, change: Partial<CertificateTemplate> = {}): TestAuthority {
    const signer = authority(name, this.signer, change);
    return new TestAuthority(signer, [signer.certificate, ...this.chain], this.root);
  }

  get rootPem(): string {
    return encodePem("CERTIFICATE", this.root);
  }

  leaf(
    uri: string,
    change: Partial<CertificateTemplate> = {},
    chain: readonly Buffer[] = this.chain,
  ): TestLeaf {
    const { privateKey, spki } = keyPair();
    const der = signCertificate(
      {
        profile: "workload",
        serial: serialFrom(randomBytes(16)),
        issuer: this.signer.subject,
        subject: EMPTY_NAME,
        ...validityFrom(Date.now(), TTL_SECONDS),
        spki,
        uris: [uri],
        dnsNames: [],
        subjectKeyId: keyIdentifier(spki),
        authorityKeyId: this.signer.subjectKeyId,
        ...change,
      },
      this.signer.privateKey,
    );
    return {
      der,
      key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
      cert: [der, ...chain].map((certificate) => encodePem("CERTIFICATE", certificate)).join(""),
    };
  }
}

function keyPair() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, spki: publicKey.export({ type: "spki", format: "der" }) };
}

function authority(name: string, issuer: Signer | undefined, change: Partial<CertificateTemplate>): Signer {
  const { privateKey, spki } = keyPair();
  const template = authorityTemplate({
    trustDomain: trustDomain(name),
    spki,
    validity: validityFrom(Date.now(), TTL_SECONDS),
    serial: serialFrom(randomBytes(16)),
    ...(issuer && { issuer }),
  });
  const der = signCertificate({ ...template, ...change }, issuer?.privateKey ?? privateKey);
  return signerFrom(der, privateKey);
}
