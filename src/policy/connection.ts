/** What policy judges on the server's side of a connection: made once when it is accepted, then only read. */
import type { FirstBytes } from "./filter-chain.ts";
import { type IpAddress, parseIpAddress } from "./ip-address.ts";
import { type HttpHop, SIDECAR_HOP } from "./proxy-headers.ts";
import { textHash } from "./rule-index/text-print.ts";

/**
 * `mtls`: TLS with a client certificate that chains to the mesh's roots. `rogue`: TLS with one that does not (only a
 * question about a connection can say this: a live handshake fails). `simple`: TLS without a client certificate.
 */
export type TlsKind = "mtls" | "rogue" | "simple" | "plaintext";

/** What an external authorizer said; `error`: it could not be asked, and its provider does not fail open. */
export type AuthorizerAnswer = "allow" | "deny" | "error";

export interface ConnectionInput {
  readonly tls: TlsKind;
  /**
   * URI SAN of the verified client certificate without `spiffe://` (`cluster.local/ns/pay/sa/auditor`); null for
   * plaintext and for TLS without a client certificate. `dns:NAME`: a certificate that has only that DNS SAN.
   */
  readonly principal: string | null;
  /** Address of the socket's peer. */
  readonly sourceIp: string;
  /** Original client, where a PROXY protocol header or HBONE told it; absent: the peer (for HTTP, X-Forwarded-For has its say). */
  readonly remoteIp?: string | undefined;
  readonly destinationIp: string;
  /** Port of the workload (the container's), not of a Service. */
  readonly destinationPort: number;
  /** Server name of the TLS that reached us; empty or absent for none. */
  readonly sni?: string | undefined;
  /** ALPN list that the client offered, in its order; empty or absent for none. */
  readonly alpn?: readonly string[] | undefined;
  /** Whether the first bytes of plaintext are an HTTP request head (default true). Asked only where the port's protocol is to be detected. */
  readonly speaksHttp?: boolean | undefined;
  /** Where HTTP ends, if it does; by default at a sidecar, which tells of a client's certificate its name alone. */
  readonly hop?: HttpHop | undefined;
}

/** A connection's facts, taken apart once. Addresses that do not parse are null and match nothing. */
export class Connection {
  readonly tls: TlsKind;
  readonly principal: string | null;
  /** The name in the certificate that patterns look at: the whole URI SAN, or the DNS name. Null without a client certificate. */
  readonly subject: string | null;
  /** Of `subject`, by which rules are found: hashed once for all requests of the connection. */
  readonly subjectHash: number;
  /** Part of the principal before the first slash; empty without an identity. */
  readonly trustDomain: string;
  /** Set, like `serviceAccount`, only when the principal is exactly `<trust domain>/ns/<namespace>/sa/<account>`; else empty. */
  readonly namespace: string;
  readonly serviceAccount: string;
  /** `<namespace>/<service account>`, or empty like both. */
  readonly account: string;
  readonly sourceIp: string;
  readonly sourceAddress: IpAddress | null;
  readonly remoteIp: string;
  readonly remoteAddress: IpAddress | null;
  readonly destinationIp: string;
  readonly destinationAddress: IpAddress | null;
  readonly destinationPort: number;
  /** In lower case: names in TLS ignore case (RFC 6066 §3), and Envoy compares them folded. */
  readonly sni: string;
  /** What decides which chain takes it. */
  readonly firstBytes: FirstBytes;
  /** Whether the identity has anything after its trust domain. */
  readonly hasPath: boolean;
  /** Who ends HTTP, and what it tells the application of the client's certificate. */
  readonly hop: HttpHop;
  /** For TCP: what the external authorizer said, once the caller has asked it (see requiredAuthorizer). */
  authorizer: AuthorizerAnswer | undefined = undefined;
  #anonymous: Connection | undefined = undefined;
  #opaque: Connection | undefined = undefined;

  constructor(input: ConnectionInput) {
    const account = accountOf(input.principal);
    this.tls = input.tls;
    this.principal = input.principal;
    this.subject = subjectOf(input.principal);
    this.subjectHash = textHash(this.subject ?? "");
    this.trustDomain = account.trustDomain;
    this.namespace = account.namespace;
    this.serviceAccount = account.serviceAccount;
    this.account = account.namespace === "" ? "" : `${account.namespace}/${account.serviceAccount}`;
    this.sourceIp = input.sourceIp;
    this.sourceAddress = parseIpAddress(input.sourceIp) ?? null;
    this.remoteIp = input.remoteIp ?? input.sourceIp;
    this.remoteAddress = parseIpAddress(this.remoteIp) ?? null;
    this.destinationIp = input.destinationIp;
    this.destinationAddress = parseIpAddress(input.destinationIp) ?? null;
    this.destinationPort = input.destinationPort;
    this.sni = (input.sni ?? "").toLowerCase();
    this.firstBytes = {
      tls: input.tls !== "plaintext",
      alpn: input.alpn ?? [],
      speaksHttp: input.speaksHttp ?? true,
    };
    this.hasPath = input.principal?.includes("/") === true;
    this.hop =
      input.hop ??
      (this.subject === null
        ? SIDECAR_HOP
        : { position: "sidecar", clientCert: `By=;Hash=;Subject="";URI=${this.subject}` });
  }

  /** The same connection without its identity: what is known of TLS that is passed through undecrypted. */
  get anonymous(): Connection {
    if (this.principal === null) return this;
    this.#anonymous ??= new Connection({ ...facts(this), sni: this.sni });
    return this.#anonymous;
  }

  /** The same connection without its identity and server name: what is known where nobody looks for TLS at all. */
  get opaque(): Connection {
    if (this.principal === null && this.sni === "") return this;
    this.#opaque ??= new Connection(facts(this));
    return this.#opaque;
  }
}

function facts(connection: Connection): ConnectionInput {
  const { tls, sourceIp, remoteIp, destinationIp, destinationPort, firstBytes } = connection;
  const { alpn, speaksHttp } = firstBytes;
  return { tls, principal: null, sourceIp, remoteIp, destinationIp, destinationPort, alpn, speaksHttp };
}

const DNS_PREFIX = "dns:";

function subjectOf(principal: string | null): string | null {
  if (principal === null) return null;
  return principal.startsWith(DNS_PREFIX)
    ? principal.slice(DNS_PREFIX.length)
    : // Not by concatenation, which V8 keeps in two parts and compares several times more slowly.
      ["spiffe://", principal].join("");
}

interface Account {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const NOBODY: Account = { trustDomain: "", namespace: "", serviceAccount: "" };

function accountOf(principal: string | null): Account {
  if (principal === null || principal.startsWith(DNS_PREFIX)) return NOBODY;
  const [trustDomain = "", ns, namespace, sa, serviceAccount, ...more] = principal.split("/");
  const exact = ns === "ns" && sa === "sa" && more.length === 0;
  return exact && namespace && serviceAccount
    ? { trustDomain, namespace, serviceAccount }
    : { ...NOBODY, trustDomain };
}
