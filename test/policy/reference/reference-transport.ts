/** Which chain takes a connection, slowly: Istio's chains for a port as a list, and Envoy's way of choosing among them. */
export type Mode = "STRICT" | "PERMISSIVE" | "DISABLE";
export type Protocol = "http" | "tcp" | "auto";

export interface Seen {
  readonly tls: boolean;
  readonly alpn: readonly string[];
  readonly speaksHttp: boolean;
}

export interface ReferenceChain {
  readonly transport: "tls" | "raw_buffer";
  readonly alpn: readonly string[];
  readonly protocol: "http" | "tcp";
  readonly mutual: boolean;
}

const MESH_HTTP = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const MESH_TCP = ["istio-peer-exchange", "istio"];
const PLAIN_HTTP = ["http/1.0", "http/1.1", "h2c"];

function chainsOf(mode: Mode, protocol: Protocol): ReferenceChain[] {
  const kinds = protocol === "auto" ? (["http", "tcp"] as const) : [protocol];
  const chains: ReferenceChain[] = [];
  for (const kind of kinds) {
    // Only where both kinds stand side by side must HTTP be told from the rest.
    const among = (names: string[]) => (protocol === "auto" ? (kind === "http" ? names : []) : []);
    if (mode === "STRICT")
      chains.push({ transport: "tls", alpn: among(MESH_HTTP), protocol: kind, mutual: true });
    else chains.push({ transport: "raw_buffer", alpn: among(PLAIN_HTTP), protocol: kind, mutual: false });
    if (mode !== "PERMISSIVE") continue;
    const mesh = protocol === "auto" ? (kind === "http" ? MESH_HTTP : MESH_TCP) : [...MESH_HTTP, ...MESH_TCP];
    chains.push({ transport: "tls", alpn: mesh, protocol: kind, mutual: true });
    if (kind === "tcp") chains.push({ transport: "tls", alpn: [], protocol: kind, mutual: false });
  }
  return chains;
}

/** Undefined: no chain, so the connection is closed. */
export function referenceChain(mode: Mode, protocol: Protocol, seen: Seen): ReferenceChain | undefined {
  const chains = chainsOf(mode, protocol);
  // Nobody looks for TLS where no chain wants it: it passes for plaintext of some kind.
  const looksForTls = chains.some(({ transport }) => transport === "tls");
  const transport = seen.tls && looksForTls ? "tls" : "raw_buffer";
  const names = transport === "tls" ? seen.alpn : !seen.tls && seen.speaksHttp ? ["http/1.1"] : [];
  const candidates = chains.filter((chain) => chain.transport === transport);
  for (const name of names) {
    const named = candidates.find(({ alpn }) => alpn.includes(name));
    if (named !== undefined) return named;
  }
  return candidates.find(({ alpn }) => alpn.length === 0);
}
