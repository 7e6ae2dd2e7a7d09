import { request } from "node:https";
import { TLS_PROFILE } from "../../identity/tls-profile.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

export interface ApiServer {
  /** `https://host[:port]` */
  readonly url: string;
  /** Roots of its certificate, in PEM; default: the system's. */
  readonly serverRootsPem?: string;
  /** Sent only to a server whose certificate was verified. */
  readonly bearerToken?: string;
  /** What we show, in PEM. */
  readonly client?: { readonly certificatePem: string; readonly keyPem: string };
}

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 1 << 20;

/**
 * One question to an API server, in JSON.
 * @throws {BulwarkError} BW_KUBERNETES_CSR_SERVER: it cannot be reached, is another, says no, or answers with what is no object.
 */
export function askApiServer(
  { url, serverRootsPem, bearerToken, client }: ApiServer,
  method: string,
  path: string,
  body?: unknown,
): Promise<Readonly<Record<string, unknown>>> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  const asked = request(new URL(path, url), {
    method,
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: {
      accept: "application/json",
      "user-agent": "bulwark",
      ...(text === undefined
        ? {}
        : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
      ...(bearerToken === undefined ? {} : { authorization: `Bearer ${bearerToken}` }),
    },
    ...(serverRootsPem === undefined ? {} : { ca: serverRootsPem }),
    ...(client === undefined ? {} : { cert: client.certificatePem, key: client.keyPem }),
    ...TLS_PROFILE.outside,
  });
  asked.on("error", (error: NodeJS.ErrnoException) => reject(failure(error.code ?? error.name)));
  asked.on("response", (response) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    response.on("data", (part: Buffer) => {
      bytes += part.length;
      if (bytes > MAX_ANSWER_BYTES) asked.destroy();
      else parts.push(part);
    });
    response.on("error", () => reject(failure("the answer broke off")));
    response.on("close", () => reject(failure("the answer broke off, or is too large")));
    response.on("end", () => {
      const { statusCode = 0 } = response;
      const answer = statusCode < 200 || statusCode > 299 ? undefined : parsed(Buffer.concat(parts));
      if (answer === undefined) reject(failure(`status ${statusCode}`));
      else resolve(answer);
    });
  });
  asked.end(text);
  return promise;
}

function parsed(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function failure(what: string): BulwarkError {
  return new BulwarkError("BW_KUBERNETES_CSR_SERVER", `the API server did not answer as it should: ${what}`);
}
