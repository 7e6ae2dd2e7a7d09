import { peerFromCertificateDer } from "../identity/peer-certificate.ts";
import { decodePem } from "../identity/pem.ts";
import { readOcspResponse } from "../identity/revocation/read-ocsp-response.ts";
import type { CertificatePair } from "./gateway-credentials.ts";

interface Staple {
  readonly serial: string;
  readonly response: Buffer;
  readonly fromMs: number;
  readonly untilMs: number;
}

/**
 * OCSP responses that a server hands out with its certificates. One goes out only while it says that this very certificate is good; a client that gets
 * none may still ask the responder itself. Its signature is the client's to verify.
 * @see RFC 6066 §8; Envoy's `LENIENT_STAPLING`
 */
export class OcspStaples {
  readonly #staples: readonly Staple[];

  constructor(pairs: readonly CertificatePair[]) {
    this.#staples = pairs.flatMap((pair) => stapleOf(pair) ?? []);
  }

  get isEmpty(): boolean {
    return this.#staples.length === 0;
  }

  /** @param certificate DER of the one that the server shows. */
  of(certificate: Buffer, nowMs: number): Buffer | undefined {
    const shown = peerFromCertificateDer(certificate);
    if ("error" in shown) return undefined;
    return this.#staples.find(
      ({ serial, fromMs, untilMs }) => serial === shown.serial && fromMs <= nowMs && nowMs < untilMs,
    )?.response;
  }
}

function stapleOf({ cert, staple }: CertificatePair): Staple | undefined {
  const [leaf] = decodePem("CERTIFICATE", cert);
  if (staple === undefined || leaf === undefined) return undefined;
  const response = Buffer.from(staple, "latin1");
  const own = peerFromCertificateDer(leaf);
  const read = readOcspResponse(response);
  if ("error" in own || "error" in read) return undefined;
  const about = read.answers.find(({ serial }) => serial === own.serial);
  if (about?.status !== "good") return undefined;
  const untilMs = about.nextUpdate?.getTime() ?? Number.POSITIVE_INFINITY;
  return { serial: own.serial, response, fromMs: about.thisUpdate.getTime(), untilMs };
}
