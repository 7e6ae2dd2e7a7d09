import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { type RequestOptions, request } from "node:https";
import { rootCertificates } from "node:tls";
import { peerFromCertificateDer } from "../../identity/peer-certificate.ts";
import { chainProblem, linkedChain } from "../../identity/peer-chain.ts";
import { encodePem } from "../../identity/pem.ts";
import { parseSpiffeBundle, type TrustBundle } from "../../identity/spiffe-bundle.ts";
import { TLS_PROFILE } from "../../identity/tls-profile.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { FederatedDomain } from "./federation-option.ts";

/** A bundle of some hundred keys has some hundred kilobytes. */
const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 10_000;

/**
 * Gets a trust domain's bundle from its endpoint, which must prove itself as the profile says. Redirects are not followed: they would lead
 * past the server that was named.
 * @param known what is known of that domain now: `https_spiffe` is verified by it.
 * @throws {BulwarkError} BW_TRUST_BUNDLE_FETCH, BW_TRUST_BUNDLE_INVALID; messages quote nothing that the server sent.
 * @see SPIFFE Federation specification §5.2
 */
export async function fetchBundle(
  domain: FederatedDomain & { readonly url: URL },
  known: TrustBundle | undefined,
  signal: AbortSignal,
): Promise<TrustBundle> {
  const options = domain.profile === "https_spiffe" ? spiffeOptions(domain, known) : webOptions(domain);
  const overall = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const answer = await get(domain.url, { ...options, signal: overall });
  if (answer.statusCode !== 200) {
    answer.destroy();
    throw failed(`the endpoint answers ${answer.statusCode}`);
  }
  return parseSpiffeBundle(domain.trustDomain, await readText(answer));
}

/** By the system's roots and the host's name, as any web site. */
function webOptions({ caFile }: FederatedDomain): RequestOptions {
  return caFile === undefined ? {} : { ca: [...rootCertificates, readFileSync(caFile, "utf8")] };
}

/** By the roots of its own trust domain and its SPIFFE ID; the host's name says nothing. */
function spiffeOptions({ endpointId }: FederatedDomain, known: TrustBundle | undefined): RequestOptions {
  const roots = known?.x509Authorities ?? [];
  if (roots.length === 0) throw failed("there are no roots yet to know the endpoint by");
  return {
    ca: roots.map((der) => encodePem("CERTIFICATE", der)),
    // Workloads' certificates carry no host names, and an address may be all that the URL has.
    servername: "",
    checkServerIdentity: (_name, certificate) => {
      const peer = peerFromCertificateDer(certificate.raw);
      if ("error" in peer || peer.spiffeId !== endpointId)
        return failed("its server is another than the named endpoint");
      const anchors = roots.map((der) => new X509Certificate(der));
      const problem = chainProblem(linkedChain(certificate), anchors, "server", Date.now());
      return problem === undefined ? undefined : failed(problem);
    },
  };
}

function get(url: URL, options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      headers: { accept: "application/json", "user-agent": "bulwark" },
      // A kept connection would outlive the roots that it was verified by.
      agent: false,
      rejectUnauthorized: true,
      ...TLS_PROFILE.outside,
      ...options,
    });
    asked.once("response", resolve);
    asked.on("error", (error) => reject(error instanceof BulwarkError ? error : failed(reasonOf(error))));
    asked.once("close", () => reject(failed("it closed without an answer")));
    asked.end();
  });
}

async function readText(answer: IncomingMessage): Promise<string> {
  answer.on("error", () => {});
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_BYTES) break;
      chunks.push(chunk);
    }
  } catch {
    throw failed("no whole answer in time");
  }
  if (length > MAX_BYTES) throw failed(`the answer is longer than ${MAX_BYTES} bytes`);
  return Buffer.concat(chunks).toString("utf8");
}

/** Error codes of the system and of TLS; never what a server wrote. */
function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.name === "AbortError" || error.name === "TimeoutError") return "no answer in time";
  return error.code ?? "the endpoint could not be asked";
}

function failed(why: string): BulwarkError {
  return new BulwarkError("BW_TRUST_BUNDLE_FETCH", `the trust bundle could not be fetched: ${why}`);
}
