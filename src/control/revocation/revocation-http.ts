import { hash } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { CrlIssuer, CrlPair } from "../../identity/revocation/crl-issuer.ts";
import type { OcspOutcome, OcspResponder } from "../../identity/revocation/ocsp-responder.ts";
import type { Issuer } from "../../identity/sign.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { http } from "../../resources/node-http.ts";

export interface RevocationHttpOptions {
  /** An address of 127/8, or ::1. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly issuers: () => Promise<readonly Issuer[]>;
  /** Roots whose keys are here, the one that signs first. */
  readonly roots: () => Promise<readonly Issuer[]>;
  readonly crls: CrlIssuer;
  readonly ocsp: OcspResponder;
  readonly onProblem: (error: unknown) => void;
}

const MAX_BODY_BYTES = 16_384;
/** Base64 of the largest request, percent-encoded at its worst. */
const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS = 256;
const TIMEOUT_MS = 10_000;

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Buffer | string;
}

/**
 * Publishes CRLs and answers OCSP over plain HTTP, as both formats expect: they are signed, and a TLS server's own certificate could not be checked
 * without them.
 *
 * `GET /crl`, `/crl/delta`: of the intermediate that signs now; `/crl/root`: of its root. `GET /crl/KEYID.crl`, `/crl/KEYID-delta.crl`: of any. `GET /ca/KEYID.crt`: its certificate.
 * `POST /ocsp`, `GET /ocsp/BASE64`.
 * @see RFC 5280 §4.2.1.13, RFC 6960 appendix A, RFC 5019 §5–6
 */
export class RevocationHttp {
  readonly #options: RevocationHttpOptions;
  readonly #server: Server;

  constructor(options: RevocationHttpOptions) {
    this.#options = options;
    this.#server = http.createServer(
      { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** @returns the port. @throws {BulwarkError} BW_REVOCATION_HTTP */
  listen(): Promise<number> {
    const { host, port, onProblem } = this.#options;
    return new Promise((resolve, reject) => {
      const fail = (cause: Error) => {
        const message = `CRLs and OCSP cannot be served at ${host}:${port}: ${cause.message}`;
        reject(new BulwarkError("BW_REVOCATION_HTTP", message, { cause }));
      };
      this.#server.once("error", fail);
      this.#server.listen(port, host, () => {
        this.#server.off("error", fail).on("error", onProblem);
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Never rejects. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on("error", () => {});
    response.on("error", () => {});
    const answer = await this.#answer(request).catch((error: unknown) => {
      if (!request.destroyed) this.#options.onProblem(error);
      return { status: 500, body: "the CA cannot answer at present\n" };
    });
    const { status, headers = {}, body } = withNotModified(answer, request);
    // What is left of a body that was refused is read by Node and dropped, for as long as a request may take: a close with bytes unread would be a reset,
    // and the answer lost.
    const ending = request.complete ? {} : { connection: "close" };
    response.writeHead(status, { "content-length": Buffer.byteLength(body), ...ending, ...headers });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { method = "", url = "" } = request;
    if (method === "POST" && url === "/ocsp") return this.#posted(request);
    if (method !== "GET" && method !== "HEAD")
      return { status: 405, headers: { allow: "GET, HEAD, POST" }, body: "" };
    if (url.startsWith("/ocsp/")) return this.#asked(url.slice("/ocsp/".length));
    if (url.startsWith("/crl")) return this.#crl(url);
    const [, keyId] = /^\/ca\/([0-9a-f]{40})\.crt$/.exec(url) ?? [];
    const issuer = keyId === undefined ? undefined : await this.#issuer(keyId);
    if (issuer === undefined) return NOT_FOUND;
    return { status: 200, headers: { "content-type": "application/pkix-cert" }, body: issuer.certificate };
  }

  async #posted(request: IncomingMessage): Promise<Answer> {
    if (request.headers["content-type"] !== "application/ocsp-request")
      return { status: 415, body: "send application/ocsp-request\n" };
    const body = await bodyOf(request);
    if (body === undefined) return { status: 413, body: "" };
    return ocspAnswer(await this.#options.ocsp.answer(body), false);
  }

  /** The path is Base64, percent-encoded by careful clients and not by others (RFC 5019 §5). */
  async #asked(path: string): Promise<Answer> {
    const text = decoded(path);
    if (text === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return { status: 400, body: "" };
    return ocspAnswer(await this.#options.ocsp.answer(Buffer.from(text, "base64")), true);
  }

  async #crl(url: string): Promise<Answer> {
    if (url === "/crl/root") return this.#listOf((await this.#options.roots())[0], false);
    const [, keyId, delta] = /^\/crl(?:\/([0-9a-f]{40}))?(\/delta|-delta\.crl|\.crl)?$/.exec(url) ?? [];
    if (url !== "/crl" && delta === undefined) return NOT_FOUND;
    return this.#listOf(await this.#issuer(keyId), delta?.includes("delta") === true);
  }

  async #listOf(issuer: Issuer | undefined, isDelta: boolean): Promise<Answer> {
    if (issuer === undefined) return NOT_FOUND;
    const pair = await this.#options.crls.current(issuer);
    return crlAnswer(pair, isDelta ? pair.delta : pair.full);
  }

  async #issuer(keyId: string | undefined): Promise<Issuer | undefined> {
    const issuers = await this.#options.issuers();
    if (keyId === undefined) return issuers[0];
    const isIt = ({ subjectKeyId }: Issuer) => subjectKeyId.toString("hex") === keyId;
    return issuers.find(isIt) ?? (await this.#options.roots()).find(isIt);
  }
}

const NOT_FOUND: Answer = { status: 404, body: "" };

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/** Undefined for one that is too long; not by iterating, which ends the connection that the refusal is to go out on. */
function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY_BYTES) chunks.push(chunk);
      else resolve(undefined);
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("close", () => reject(new BulwarkError("BW_REVOCATION_HTTP", "the client went away")));
  });
}

/** Caches may keep what has no nonce until its end (RFC 5019 §6.2). */
function ocspAnswer({ der, keepUntilMs, producedAtMs }: OcspOutcome, cacheable: boolean): Answer {
  const headers = { "content-type": "application/ocsp-response" };
  if (!cacheable || keepUntilMs === undefined)
    return { status: 200, headers: { ...headers, "cache-control": "no-store" }, body: der };
  return { status: 200, headers: { ...headers, ...keeping(der, producedAtMs, keepUntilMs) }, body: der };
}

function crlAnswer({ thisUpdateMs, nextUpdateMs }: CrlPair, list: Buffer): Answer {
  // A revocation makes a new list at once: who keeps one asks whether it is still the newest.
  const headers = {
    ...keeping(list, thisUpdateMs, nextUpdateMs),
    "cache-control": "no-cache",
    "content-type": "application/pkix-crl",
  };
  return { status: 200, headers, body: list };
}

function keeping(bytes: Buffer, fromMs: number, untilMs: number): Record<string, string> {
  const seconds = Math.max(0, Math.floor((untilMs - Date.now()) / 1000));
  return {
    "cache-control": `max-age=${seconds}, public, no-transform, must-revalidate`,
    "last-modified": new Date(fromMs).toUTCString(),
    expires: new Date(untilMs).toUTCString(),
    etag: `"${hash("sha256", bytes, "hex")}"`,
  };
}

function withNotModified(answer: Answer, request: IncomingMessage): Answer {
  const etag = answer.headers?.etag;
  const isKnown = etag !== undefined && request.headers["if-none-match"] === etag;
  return isKnown ? { status: 304, headers: answer.headers ?? {}, body: "" } : answer;
}
