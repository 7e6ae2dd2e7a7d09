import type { Semantics } from "../policy/inbound.ts";
import type { GatewayListener, GatewayServer, GatewayTls } from "../policy/outbound/types.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { EdgeTlsServer } from "./edge-tls-server.ts";
import { readServerCredentials } from "./gateway-credentials.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import type { SecretStore } from "./secret-store.ts";

/** By server: what ends its TLS, or why nothing does. */
export type EdgeTlsByServer = ReadonlyMap<GatewayServer, EdgeTlsServer | BulwarkError>;

/** The TLS servers of a gateway. One whose settings and certificates are as before is kept, with its sessions. */
export class EdgeTlsServers {
  readonly #env: ProxyEnvironment;
  #made = new Map<string, EdgeTlsServer>();

  constructor(env: ProxyEnvironment) {
    this.#env = env;
  }

  /** Of the servers of a new configuration. Never throws: a server that cannot be made refuses. */
  update(listeners: readonly GatewayListener[], secrets: SecretStore, semantics: Semantics): EdgeTlsByServer {
    const made = new Map<string, EdgeTlsServer>();
    const byServer = new Map<GatewayServer, EdgeTlsServer | BulwarkError>();
    for (const server of listeners.flatMap(({ servers }) => servers))
      if (endsEdgeTls(server)) byServer.set(server, this.#make(server, secrets, semantics, made));
    this.#made = made;
    return byServer;
  }

  #make(
    server: GatewayServer & { readonly tls: GatewayTls },
    secrets: SecretStore,
    semantics: Semantics,
    made: Map<string, EdgeTlsServer>,
  ): EdgeTlsServer | BulwarkError {
    const credentials = readServerCredentials(server.tls, secrets);
    if (credentials instanceof BulwarkError) return credentials;
    const key = JSON.stringify([server, semantics, credentials.fingerprint]);
    try {
      const kept = this.#made.get(key) ?? new EdgeTlsServer(this.#env, server, credentials, semantics);
      made.set(key, kept);
      return kept;
    } catch (error) {
      return error instanceof BulwarkError ? error : new BulwarkError("BW_GATEWAY_TLS", String(error));
    }
  }
}

/** Whether a server ends TLS under certificates of its own. */
export function endsEdgeTls(server: GatewayServer): server is GatewayServer & { readonly tls: GatewayTls } {
  const { protocol, tls } = server;
  if (tls === undefined || protocol === "http") return false;
  return tls.mode === "SIMPLE" || tls.mode === "MUTUAL" || tls.mode === "OPTIONAL_MUTUAL";
}
