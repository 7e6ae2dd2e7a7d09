/** The filter chains of one port: by mutual TLS mode and protocol, told apart by the first bytes and by ALPN. */
import type { ChainProtocol } from "../../policy/port-protocol.ts";
import type { EnvoyObject } from "./envoy-object.ts";
import type { PeerMode } from "./peer-modes.ts";

/** What a chain takes, and what it does with it. */
export interface ChainKind {
  /** `tls` as seen by the TLS inspector, else `raw_buffer`. */
  readonly transport: "tls" | "raw_buffer";
  /** Empty: any. */
  readonly alpn: readonly string[];
  readonly protocol: "http" | "tcp";
  /** Whether it ends the mesh's mutual TLS; else TLS is passed through undecrypted. */
  readonly terminates: boolean;
}

/** Names by which clients of the mesh say what is inside their TLS, and what the HTTP inspector says of plaintext. */
const MESH_HTTP = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const MESH_TCP = ["istio-peer-exchange", "istio"];
const PLAIN_HTTP = ["http/1.0", "http/1.1", "h2c"];

const mutual = (protocol: "http" | "tcp", alpn: readonly string[] = []): ChainKind => ({
  transport: "tls",
  alpn,
  protocol,
  terminates: true,
});
const plain = (protocol: "http" | "tcp", alpn: readonly string[] = []): ChainKind => ({
  transport: "raw_buffer",
  alpn,
  protocol,
  terminates: false,
});
const PASSED: ChainKind = { transport: "tls", alpn: [], protocol: "tcp", terminates: false };

const CHAINS: Readonly<Record<PeerMode, Readonly<Record<ChainProtocol, readonly ChainKind[]>>>> = {
  STRICT: {
    http: [mutual("http")],
    tcp: [mutual("tcp")],
    auto: [mutual("http", MESH_HTTP), mutual("tcp")],
  },
  // A port that is declared HTTP has no chain for TLS of others: the application behind it speaks none.
  PERMISSIVE: {
    http: [mutual("http", [...MESH_TCP, ...MESH_HTTP]), plain("http")],
    tcp: [mutual("tcp", [...MESH_TCP, ...MESH_HTTP]), PASSED, plain("tcp")],
    auto: [
      mutual("http", MESH_HTTP),
      plain("http", PLAIN_HTTP),
      mutual("tcp", MESH_TCP),
      plain("tcp"),
      PASSED,
    ],
  },
  DISABLE: {
    http: [plain("http")],
    tcp: [plain("tcp")],
    auto: [plain("http", PLAIN_HTTP), plain("tcp")],
  },
};

export function chainKinds(mode: PeerMode, protocol: ChainProtocol): readonly ChainKind[] {
  return CHAINS[mode][protocol];
}

/** @param port null: for every port that has no chains of its own. */
export function filterChainMatch(kind: ChainKind, port: number | null): EnvoyObject {
  return {
    ...(port === null ? {} : { destination_port: port }),
    transport_protocol: kind.transport,
    ...(kind.alpn.length === 0 ? {} : { application_protocols: kind.alpn }),
  };
}
