import { hash } from "node:crypto";
import { readPublicKeyBits } from "../certificate-der.ts";
import type { Issuer } from "../sign.ts";
import { type OcspCertificateId, type OcspRequest, readOcspRequest } from "./ocsp-request.ts";
import { encodeOcspResponse, OCSP_ERRORS, type OcspAnswer, type OcspStatus } from "./ocsp-response.ts";
import { makeResponderKey, type ResponderKey } from "./responder-key.ts";

export interface OcspResponderOptions {
  /** The issuers whose certificates are asked about, of now and of before. */
  readonly issuers: () => Promise<readonly Issuer[]>;
  readonly statusOf: (issuerKeyId: string, serial: string) => Promise<OcspStatus>;
  /** How long an answer may be relied on. */
  readonly answerTtlMs?: number;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  readonly onProblem?: (error: unknown) => void;
}

/** An answer with what a transport says about keeping it. */
export interface OcspOutcome {
  readonly der: Buffer;
  /** Milliseconds since the epoch; undefined where the answer is for this once (an error, or with a nonce). */
  readonly keepUntilMs: number | undefined;
  readonly producedAtMs: number;
}

const ANSWER_TTL_MS = 10 * 60_000;

/**
 * Answers what became of certificates, signed by a key that the issuer delegated. Unknown is what this CA has no record of; a request for no issuer
 * of this CA is unauthorized, one for several is answered by the first's delegate and unknown for the rest.
 * @see RFC 6960, RFC 5019
 */
export class OcspResponder {
  readonly #options: OcspResponderOptions;
  readonly #clock: () => number;
  readonly #keys = new Map<string, ResponderKey>();

  constructor(options: OcspResponderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /** Never rejects: whatever goes wrong is one of OCSP's own errors. */
  async answer(der: Buffer): Promise<OcspOutcome> {
    const nowMs = this.#clock();
    const request = readOcspRequest(der);
    if ("error" in request) return failure(OCSP_ERRORS.malformedRequest, nowMs);
    try {
      return await this.#answer(request, nowMs);
    } catch (error) {
      this.#options.onProblem?.(error);
      return failure(OCSP_ERRORS.internalError, nowMs);
    }
  }

  async #answer(request: OcspRequest, nowMs: number): Promise<OcspOutcome> {
    const issuers = await this.#options.issuers();
    const first = issuers.find((issuer) => request.certificates.some((id) => isOf(id, issuer)));
    if (first === undefined) return failure(OCSP_ERRORS.unauthorized, nowMs);
    const answers = await Promise.all(request.certificates.map((id) => this.#statusOf(id, first)));
    const producedAtMs = Math.floor(nowMs / 1000) * 1000;
    const nextUpdateMs = producedAtMs + (this.#options.answerTtlMs ?? ANSWER_TTL_MS);
    const responder = await this.#keyOf(first, nowMs);
    const template = { answers, producedAtMs, nextUpdateMs, nonce: request.nonce, responder };
    return {
      der: await encodeOcspResponse(template),
      keepUntilMs: request.nonce === undefined ? nextUpdateMs : undefined,
      producedAtMs,
    };
  }

  async #statusOf(id: OcspCertificateId, issuer: Issuer): Promise<OcspAnswer> {
    const known = isOf(id, issuer);
    const issuerKeyId = issuer.subjectKeyId.toString("hex");
    const status = known ? await this.#options.statusOf(issuerKeyId, id.serial) : "unknown";
    return { certificateId: id.der, status };
  }

  async #keyOf(issuer: Issuer, nowMs: number): Promise<ResponderKey> {
    const keyId = issuer.subjectKeyId.toString("hex");
    const known = this.#keys.get(keyId);
    if (known !== undefined && nowMs < known.renewAtMs) return known;
    const made = await makeResponderKey(issuer, nowMs);
    this.#keys.set(keyId, made);
    return made;
  }
}

function failure(der: Buffer, producedAtMs: number): OcspOutcome {
  return { der, keepUntilMs: undefined, producedAtMs };
}

function isOf(id: OcspCertificateId, { subject, spki }: Issuer): boolean {
  if (id.hash === undefined) return false;
  return (
    hash(id.hash, subject, "hex") === id.issuerNameHash &&
    hash(id.hash, readPublicKeyBits(spki), "hex") === id.issuerKeyHash
  );
}
