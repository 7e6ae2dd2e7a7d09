/** A mesh's real CA, and certificates that it would never issue: for clients and servers of the recorded cases. */
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { type CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import { loadCaState } from "../../src/identity/ca-state.ts";
import { KEY_ALGORITHMS } from "../../src/identity/key-algorithm.ts";
import { readPrivateKey } from "../../src/identity/key-store.ts";
import { encodePem } from "../../src/identity/pem.ts";
import { SvidSource } from "../../src/identity/rotation.ts";
import { type Signer, signCertificate, signerFrom } from "../../src/identity/sign.ts";
import {
  authorityTemplate,
  EMPTY_NAME,
  keyIdentifier,
  serialFrom,
  validityFrom,
} from "../../src/identity/template.ts";
import { parseSpiffeId, parseTrustDomain, type TrustDomain } from "../../src/model/spiffe-id.ts";
import { temporaryFolder } from "../temporary-folder.ts";

const TTL_SECONDS = 3600;

/** Names of a certificate: a URI where it has a scheme, else a DNS name. */
export type Names = readonly string[];

/** Signs whatever is asked of it with one CA's key. Contexts are remembered: most requests come from a few identities. */
export class CertificateForge {
  readonly rootPem: string;
  readonly #signer: Signer;
  /** One key for all leaves: making keys is what takes time, and nobody here tells holders apart by them. */
  readonly #key: KeyObject;
  readonly #spki: Buffer;
  readonly #contexts = new Map<string, SecureContext>();

  constructor(signer: Signer, rootPem: string) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#signer = signer;
    this.rootPem = rootPem;
    this.#key = privateKey;
    this.#spki = publicKey.export({ type: "spki", format: "der" });
  }

  /** A CA that nobody in the mesh trusts. */
  static alone(): CertificateForge {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const certificate = signCertificate(
      authorityTemplate({
        trustDomain: trustDomain("alone.test"),
        spki: publicKey.export({ type: "spki", format: "der" }),
        validity: validityFrom(Date.now(), TTL_SECONDS),
        serial: serialFrom(randomBytes(16)),
      }),
      privateKey,
    );
    return new CertificateForge(signerFrom(certificate, privateKey), encodePem("CERTIFICATE", certificate));
  }

  /** A holder's key and chain as PEM, for servers that are told by files. */
  pem(names: Names): { readonly privateKey: string; readonly certificateChain: string } {
    return {
      privateKey: String(this.#key.export({ type: "pkcs8", format: "pem" })),
      certificateChain: this.#chainPem(names),
    };
  }

  context(names: Names, minVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3"): SecureContext {
    const id = `${minVersion} ${names.join(" ")}`;
    const known = this.#contexts.get(id);
    if (known !== undefined) return known;
    const { privateKey, certificateChain } = this.pem(names);
    const context = createSecureContext({
      key: privateKey,
      cert: certificateChain,
      ca: this.rootPem,
      minVersion,
    });
    this.#contexts.set(id, context);
    return context;
  }

  #chainPem(names: Names): string {
    const certificate = signCertificate(
      {
        profile: "workload",
        serial: serialFrom(randomBytes(16)),
        issuer: this.#signer.subject,
        subject: EMPTY_NAME,
        ...validityFrom(Date.now(), TTL_SECONDS),
        spki: this.#spki,
        uris: names.filter((name) => name.includes("://")),
        dnsNames: names.filter((name) => !name.includes("://")),
        subjectKeyId: keyIdentifier(this.#spki),
        authorityKeyId: this.#signer.subjectKeyId,
      },
      this.#signer.privateKey,
    );
    return encodePem("CERTIFICATE", certificate) + encodePem("CERTIFICATE", this.#signer.certificate);
  }
}

/** The CA of one trust domain, in a folder of its own until `close`. */
export class LiveAuthority {
  readonly forge: CertificateForge;
  readonly #ca: CertificateAuthority;
  readonly #folder: string;

  private constructor(ca: CertificateAuthority, folder: string, signer: Signer) {
    const roots = ca.trustBundle.map((root) => encodePem("CERTIFICATE", root));
    this.#ca = ca;
    this.#folder = folder;
    this.forge = new CertificateForge(signer, roots.join(""));
  }

  static async open(name: string): Promise<LiveAuthority> {
    const folder = temporaryFolder("bulwark-corpus-");
    const domain = trustDomain(name);
    const ca = await openCa(folder, { trustDomain: domain });
    return new LiveAuthority(ca, folder, await rootSigner(folder, domain));
  }

  /** What the owner of a mesh's root key can sign. @param statePath of the mesh. */
  static async of(statePath: string, domain: TrustDomain): Promise<CertificateForge> {
    const signer = await rootSigner(statePath, domain);
    return new CertificateForge(signer, encodePem("CERTIFICATE", signer.certificate));
  }

  /** A workload's own source of certificates, with its first one. */
  async identity(spiffeId: string): Promise<SvidSource> {
    const id = parseSpiffeId(spiffeId)?.id;
    if (id === undefined) throw new Error(`${spiffeId} is no SPIFFE ID`);
    const source = new SvidSource({
      identity: id,
      requestCertificate: (csr) => this.#ca.issue({ csr, verifiedIdentity: id, ttlSeconds: TTL_SECONDS }),
    });
    if (!(await source.start())) throw new Error(`no certificate for ${spiffeId}`);
    return source;
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function rootSigner(folder: string, domain: TrustDomain): Promise<Signer> {
  const { roots } = await loadCaState(join(folder, "ca"), {
    trustDomain: domain,
    algorithm: KEY_ALGORITHMS["ecdsa-p256"],
    rootTtlSeconds: TTL_SECONDS,
    intermediateTtlSeconds: TTL_SECONDS,
    nowMs: Date.now(),
  });
  const [root] = roots;
  if (root === undefined) throw new Error("BUG: a CA without a root");
  // Of the root: the intermediate may not sign for aliases of the trust domain.
  const key = readPrivateKey(join(folder, "ca", `root-${root.id}.key.pem`));
  if (key === undefined) throw new Error("the CA keeps its key elsewhere");
  return signerFrom(root.certificate, key);
}

function trustDomain(name: string): TrustDomain {
  const parsed = parseTrustDomain(name);
  if (parsed === undefined) throw new Error(`${name} is no trust domain`);
  return parsed;
}
