/** Which of a sidecar's filter chains takes a connection, as Istio writes them for each port. */
import type { MutualTlsMode } from "./peer-authentication.ts";
import type { ChainProtocol } from "./port-protocol.ts";
import type { Verdict } from "./verdict.ts";
import { NO_CHAIN, TLS_TO_PLAINTEXT_PORT } from "./verdict-catalogue.ts";

/** How a connection is taken. */
export interface FilterChain {
  /**
   * `terminate`: mutual TLS of the mesh, a client certificate is required. `terminate-simple` (gateways): TLS with the
   * gateway's own certificate. `pass`: TLS goes through undecrypted. `none`: plaintext.
   */
  readonly tls: "terminate" | "terminate-simple" | "pass" | "none";
  readonly protocol: "http" | "tcp";
  /** Whether anybody looked for TLS: where not, the server name is unknown too. */
  readonly inspectsTls: boolean;
  /** Set when the connection is to be closed: no chain takes it, or the one that does cannot speak to it. */
  readonly refusal: Verdict | null;
}

function chain(
  tls: FilterChain["tls"],
  protocol: FilterChain["protocol"],
  options: { readonly refusal?: Verdict; readonly inspectsTls?: boolean } = {},
): FilterChain {
  const { refusal = null, inspectsTls = true } = options;
  return Object.freeze({ tls, protocol, refusal, inspectsTls });
}

const MUTUAL_HTTP = chain("terminate", "http");
const MUTUAL_TCP = chain("terminate", "tcp");
const PLAIN_HTTP = chain("none", "http");
const PLAIN_TCP = chain("none", "tcp");
const PASSED = chain("pass", "tcp");
const PASSED_UNSEEN = chain("pass", "tcp", { inspectsTls: false });
const TLS_TO_HTTP = chain("none", "http", { refusal: TLS_TO_PLAINTEXT_PORT });
const NONE = chain("none", "tcp", { refusal: NO_CHAIN });

/** ALPN names by which a mesh's client says that HTTP, or anything, is inside its mutual TLS. */
const HTTP_ALPN: ReadonlySet<string> = new Set(["istio-http/1.0", "istio-http/1.1", "istio-h2"]);
const TCP_ALPN: ReadonlySet<string> = new Set(["istio-peer-exchange", "istio"]);

/** What a client is seen to speak. */
export interface FirstBytes {
  readonly tls: boolean;
  /** ALPN list of the ClientHello, in its order. */
  readonly alpn: readonly string[];
  /** Whether plaintext begins as HTTP does. */
  readonly speaksHttp: boolean;
}

/** Allocates nothing. @see pilot/pkg/networking/core/filterchain_options.go of istio/istio */
export function sidecarChain(mode: MutualTlsMode, protocol: ChainProtocol, first: FirstBytes): FilterChain {
  if (first.tls) return tlsChain(mode, protocol, first.alpn);
  if (mode === "STRICT") return NONE;
  if (protocol === "auto") return first.speaksHttp ? PLAIN_HTTP : PLAIN_TCP;
  return protocol === "http" ? PLAIN_HTTP : PLAIN_TCP;
}

function tlsChain(mode: MutualTlsMode, protocol: ChainProtocol, alpn: readonly string[]): FilterChain {
  if (mode === "DISABLE") return protocol === "http" ? TLS_TO_HTTP : PASSED_UNSEEN;
  const offered = meshAlpn(alpn);
  switch (protocol) {
    case "http":
      return mode === "STRICT" || offered !== null ? MUTUAL_HTTP : NONE;
    case "tcp":
      return mode === "STRICT" || offered !== null ? MUTUAL_TCP : PASSED;
    case "auto":
      if (mode === "STRICT") return offersHttp(alpn) ? MUTUAL_HTTP : MUTUAL_TCP;
      if (offered === null) return PASSED;
      return offered === "http" ? MUTUAL_HTTP : MUTUAL_TCP;
  }
}

/** The first of the client's names that the mesh knows; null for none. */
function meshAlpn(alpn: readonly string[]): "http" | "tcp" | null {
  for (const name of alpn) {
    if (HTTP_ALPN.has(name)) return "http";
    if (TCP_ALPN.has(name)) return "tcp";
  }
  return null;
}

/** STRICT chains name only HTTP's names, so their place among others does not count. */
function offersHttp(alpn: readonly string[]): boolean {
  for (const name of alpn) if (HTTP_ALPN.has(name)) return true;
  return false;
}
