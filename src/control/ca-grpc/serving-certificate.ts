import { type KeyObject, randomBytes } from "node:crypto";
import type { CertificateAuthority } from "../../identity/ca.ts";
import { KEY_ALGORITHMS, spkiOf } from "../../identity/key-algorithm.ts";
import { encodePem } from "../../identity/pem.ts";
import { issueCertificate } from "../../identity/sign.ts";
import { serialFrom, serverTemplate, validityFrom } from "../../identity/template.ts";
import { verifyIssued } from "../../identity/verify-issued.ts";
import type { ServingIdentity } from "./tls-listener.ts";

export type ServingAuthority = Pick<CertificateAuthority, "signer" | "chain" | "trustBundlePem">;

export interface ServingCertificateOptions {
  readonly ca: ServingAuthority;
  readonly dnsNames: readonly string[];
  readonly onRenewed: (identity: ServingIdentity) => void;
  readonly onProblem: (error: unknown) => void;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
}

const TTL_SECONDS = 86_400;
/** How late a replaced root or intermediate shows at most. */
const LOOK_EVERY_MS = 1000;

/**
 * With what the CA's own endpoint shows itself to clients: DNS names and no SPIFFE ID, so that no peer in the mesh takes it for a workload.
 * Made anew at half of its life, and when the CA's keys or roots are others than they were.
 */
export class ServingCertificate {
  readonly #options: Required<ServingCertificateOptions>;
  readonly #timer: NodeJS.Timeout;
  #identity: ServingIdentity;
  #signedBy: Buffer;
  #renewAtMs: number;
  #renewing = false;

  static async open(options: ServingCertificateOptions): Promise<ServingCertificate> {
    const complete = { clock: Date.now, ...options };
    return new ServingCertificate(complete, await makeIdentity(complete));
  }

  private constructor(options: Required<ServingCertificateOptions>, made: MadeIdentity) {
    this.#options = options;
    this.#identity = made.identity;
    this.#signedBy = made.signedBy;
    this.#renewAtMs = made.renewAtMs;
    this.#timer = setInterval(() => void this.renewIfDue(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  get identity(): ServingIdentity {
    return this.#identity;
  }

  /** Never rejects: the certificate that there is goes on, and the next look tries again. */
  async renewIfDue(): Promise<void> {
    const { ca, clock, onRenewed, onProblem } = this.#options;
    const isSame =
      ca.signer.certificate.equals(this.#signedBy) && ca.trustBundlePem === this.#identity.clientRootsPem;
    if (this.#renewing || (isSame && clock() < this.#renewAtMs)) return;
    this.#renewing = true;
    try {
      const made = await makeIdentity(this.#options);
      this.#identity = made.identity;
      this.#signedBy = made.signedBy;
      this.#renewAtMs = made.renewAtMs;
      onRenewed(made.identity);
    } catch (error) {
      onProblem(error);
    } finally {
      this.#renewing = false;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

interface MadeIdentity {
  readonly identity: ServingIdentity;
  readonly signedBy: Buffer;
  readonly renewAtMs: number;
}

async function makeIdentity({
  ca,
  dnsNames,
  clock,
}: Required<ServingCertificateOptions>): Promise<MadeIdentity> {
  const { signer, chain } = ca;
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const nowMs = clock();
  const template = serverTemplate({
    dnsNames,
    spki: spkiOf(privateKey),
    validity: validityFrom(nowMs, TTL_SECONDS, signer),
    serial: serialFrom(randomBytes(16)),
    issuer: signer,
  });
  const certificate = await issueCertificate(template, signer.key);
  verifyIssued(certificate, template, signer);
  const identity = {
    certificateChainPem: [certificate, ...chain].map((der) => encodePem("CERTIFICATE", der)).join(""),
    keyPem: pemOf(privateKey),
    clientRootsPem: ca.trustBundlePem,
  };
  return { identity, signedBy: signer.certificate, renewAtMs: (nowMs + template.notAfter.getTime()) / 2 };
}

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
