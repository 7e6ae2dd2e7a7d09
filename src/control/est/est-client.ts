import { request } from "node:https";
import { certificatesOfPkcs7 } from "../../identity/plug-in/certs-only.ts";
import { TLS_PROFILE } from "../../identity/tls-profile.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

export interface EstServer {
  /** `https://host[:port]` or with a label: `https://host/.well-known/est/label`. */
  readonly url: string;
  /** Roots of the server's certificate, in PEM; default: the system's. */
  readonly serverRootsPem?: string;
  /** `user:password`, sent only to a server whose certificate was verified. */
  readonly credentials?: string;
  /** What we show, in PEM. */
  readonly client?: { readonly certificatePem: string; readonly keyPem: string };
}

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 1 << 20;

/** Enrolment over secure transport with an outside CA: what is needed to be given certificates, no more. @see RFC 7030 */
export class EstClient {
  readonly #server: EstServer;
  readonly #base: string;

  /** @throws {BulwarkError} BW_EST_URL: EST is https and nothing else. */
  constructor(server: EstServer) {
    const url = URL.parse(server.url);
    if (url === null || url.protocol !== "https:" || url.username !== "")
      throw new BulwarkError(
        "BW_EST_URL",
        "an EST server is named as https://host[:port][/.well-known/est/label]",
      );
    this.#server = server;
    const path = url.pathname.replace(/\/+$/, "");
    this.#base = `${url.origin}${path === "" ? "/.well-known/est" : path}`;
  }

  /** What the outside CA is trusted by (RFC 7030 §4.1). @throws {BulwarkError} BW_EST_SERVER, BW_EST_ANSWER */
  async authorities(): Promise<readonly Buffer[]> {
    return certificatesOfPkcs7(await this.#ask("GET", "cacerts", undefined));
  }

  /**
   * A certificate for a request (RFC 7030 §4.2).
   * @param csr PKCS#10 in DER.
   * @throws {BulwarkError} BW_EST_SERVER, BW_EST_ANSWER
   */
  async enroll(csr: Buffer): Promise<readonly Buffer[]> {
    return certificatesOfPkcs7(await this.#ask("POST", "simpleenroll", csr));
  }

  #ask(method: string, operation: string, body: Buffer | undefined): Promise<Buffer> {
    const { serverRootsPem, credentials, client } = this.#server;
    const text = body?.toString("base64").replace(/.{64}(?!$)/g, "$&\n");
    return new Promise((resolve, reject) => {
      const asked = request(`${this.#base}/${operation}`, {
        method,
        agent: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          "user-agent": "bulwark",
          ...(text === undefined
            ? {}
            : {
                "content-type": "application/pkcs10",
                "content-transfer-encoding": "base64",
                "content-length": Buffer.byteLength(text),
              }),
        },
        ...(credentials === undefined ? {} : { auth: credentials }),
        ...(serverRootsPem === undefined ? {} : { ca: serverRootsPem }),
        ...(client === undefined ? {} : { cert: client.certificatePem, key: client.keyPem }),
        ...TLS_PROFILE.outside,
      });
      asked.on("error", (error: NodeJS.ErrnoException) =>
        reject(failure(`${operation}: ${error.code ?? error.name}`)),
      );
      asked.on("response", (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on("data", (part: Buffer) => {
          bytes += part.length;
          if (bytes > MAX_ANSWER_BYTES) asked.destroy();
          else parts.push(part);
        });
        response.on("error", () => reject(failure(`${operation}: the answer broke off`)));
        response.on("close", () => reject(failure(`${operation}: the answer broke off, or is too large`)));
        response.on("end", () => {
          // 202 asks to come again when somebody has approved; redirections could lead the credentials astray.
          if (response.statusCode !== 200) reject(failure(`${operation}: status ${response.statusCode}`));
          else resolve(Buffer.from(Buffer.concat(parts).toString("latin1"), "base64"));
        });
      });
      asked.end(text);
    });
  }
}

function failure(what: string): BulwarkError {
  return new BulwarkError("BW_EST_SERVER", `the EST server did not answer as it should: ${what}`);
}
