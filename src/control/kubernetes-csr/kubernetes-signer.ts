import { setTimeout as pause } from "node:timers/promises";
import { decodePem, encodePem } from "../../identity/pem.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type ApiServer, askApiServer } from "./ask-api-server.ts";

export interface KubernetesSignerOptions extends ApiServer {
  /** As the cluster names it: `domain/path`. */
  readonly signerName: string;
  /** What certificates of the signer are trusted by, in PEM: the API has no place for it. */
  readonly rootsPem: string;
  /** How long somebody may take to approve, and the signer to sign. */
  readonly timeoutMs: number;
  /** Somebody has to approve the request of this name. */
  readonly onWaiting: (name: string) => void;
}

const REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const LOOK_EVERY_MS = 1000;
const SIGNER_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/[A-Za-z0-9._/-]{1,300}$/;

/**
 * A signer behind Kubernetes' certificates API, which is asked for the certificate of an intermediate. Approving is for others to do: whoever may ask must not say
 * yes to himself.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
export class KubernetesSigner {
  readonly #options: KubernetesSignerOptions;

  /** @throws {BulwarkError} BW_CLI_INPUT: no name of a signer, or no API server. */
  constructor(options: KubernetesSignerOptions) {
    const url = URL.parse(options.url);
    if (url === null || url.protocol !== "https:" || url.username !== "")
      throw new BulwarkError("BW_CLI_INPUT", "an API server is named as https://host[:port]");
    if (!SIGNER_NAME.test(options.signerName) || /^([^/]+\.)?(kubernetes|k8s)\.io\//.test(options.signerName))
      throw new BulwarkError(
        "BW_CLI_INPUT",
        `\`${options.signerName}\` is no signer for a CA: it is named as domain/path, and Kubernetes' own sign none`,
      );
    this.#options = options;
  }

  /** The roots that were named. */
  async authorities(): Promise<readonly Buffer[]> {
    return decodePem("CERTIFICATE", this.#options.rootsPem);
  }

  /**
   * A certificate for a request: put before the cluster, waited for until it was approved and signed.
   * @param csr PKCS#10 in DER.
   * @returns the certificate and what the signer put behind it.
   * @throws {BulwarkError} BW_KUBERNETES_CSR_SERVER, BW_KUBERNETES_CSR_ANSWER, BW_KUBERNETES_CSR_DENIED, BW_KUBERNETES_CSR_TIMEOUT.
   */
  async enroll(csr: Buffer): Promise<readonly Buffer[]> {
    const { onWaiting, timeoutMs } = this.#options;
    const endsAtMs = performance.now() + timeoutMs;
    const name = nameOf(await askApiServer(this.#options, "POST", REQUESTS, this.#requestFor(csr)));
    onWaiting(name);
    for (;;) {
      const certificate = issuedIn(await askApiServer(this.#options, "GET", `${REQUESTS}/${name}`));
      if (certificate !== undefined) return certificate;
      if (performance.now() + LOOK_EVERY_MS > endsAtMs)
        throw new BulwarkError(
          "BW_KUBERNETES_CSR_TIMEOUT",
          `the request ${name} was not approved and signed in time`,
        );
      await pause(LOOK_EVERY_MS);
    }
  }

  #requestFor(csr: Buffer) {
    return {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: {
        generateName: "bulwark-ca-",
        // A CA's certificate is what no field of this API can ask for; signers of cert-manager read this, others the request itself.
        annotations: { "experimental.cert-manager.io/request-is-ca": "true" },
      },
      spec: {
        signerName: this.#options.signerName,
        request: Buffer.from(encodePem("CERTIFICATE REQUEST", csr)).toString("base64"),
        usages: ["cert sign", "crl sign"],
      },
    };
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** In paths from here on. */
function nameOf(answer: Fields): string {
  const { name } = fields(answer.metadata);
  if (typeof name === "string" && /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) return name;
  throw wrongAnswer("it gave the request no name");
}

/** Undefined while nobody has decided. */
function issuedIn(answer: Fields): readonly Buffer[] | undefined {
  const { conditions, certificate } = fields(answer.status);
  for (const condition of Array.isArray(conditions) ? conditions : []) {
    const { type } = fields(condition);
    if (type === "Denied" || type === "Failed")
      throw new BulwarkError(
        "BW_KUBERNETES_CSR_DENIED",
        type === "Denied" ? "the request was denied" : "the signer failed to sign the request",
      );
  }
  if (typeof certificate !== "string" || certificate === "") return undefined;
  const chain = decodePem("CERTIFICATE", Buffer.from(certificate, "base64").toString("latin1"));
  if (chain.length === 0) throw wrongAnswer("what was signed is no certificate");
  return chain;
}

function wrongAnswer(why: string): BulwarkError {
  return new BulwarkError("BW_KUBERNETES_CSR_ANSWER", `the API server did not answer as it should: ${why}`);
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}
