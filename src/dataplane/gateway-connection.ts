/** One connection at a gateway: what is learnt of it, and as what policies see it. */
import type { Socket } from "node:net";
import type { FlowSource } from "../model/flow-record.ts";
import { Connection } from "../policy/connection.ts";
import type { AskedAnswer } from "./ext-authz/authorize-asked.ts";
import type { FirstBytes } from "./judge-protocol.ts";
import type { SecuredPeer } from "./tls-acceptor.ts";

/** One connection at the gateway, and what has been learnt of it. */
export interface GatewayConnection {
  readonly socket: Socket;
  /** The port that the gateway's pod listens on, in the model. */
  readonly port: number;
  readonly id: string;
  readonly source: FlowSource;
  readonly startedMs: number;
  /** Server name of the TLS that reached us. */
  readonly sni: string | undefined;
  /** What the authorizer of a CUSTOM policy said of it, where one was asked. */
  readonly asked?: AskedAnswer | undefined;
}

/** What the gateway's routes are asked by. */
export function names(
  accepted: GatewayConnection,
  innerSni: string | undefined,
): { port: number; sni?: string; innerSni?: string } {
  return {
    port: accepted.port,
    ...(accepted.sni === undefined ? {} : { sni: accepted.sni }),
    ...(innerSni === undefined ? {} : { innerSni }),
  };
}

/** What came without TLS. @param podAddress the gateway's own. */
export function plainConnection(
  accepted: GatewayConnection,
  podAddress: string,
  first: FirstBytes,
): Connection {
  return new Connection({
    tls: "plaintext",
    principal: null,
    sourceIp: accepted.source.ip ?? "",
    destinationIp: podAddress,
    destinationPort: accepted.port,
    hop: { position: "gateway" },
    speaksHttp: first.kind === "http1" || first.kind === "http2",
  });
}

/** TLS that ends at the client's own server: only its name is seen. */
export function passedConnection(accepted: GatewayConnection, podAddress: string): Connection {
  return new Connection({
    tls: "simple",
    principal: null,
    sourceIp: accepted.source.ip ?? "",
    destinationIp: podAddress,
    destinationPort: accepted.port,
    sni: accepted.sni,
  });
}

/**
 * TLS that ended here.
 * @param sni the name that conditions see: of the TLS inside, where there is one.
 * @param clientCert the gateway's element of X-Forwarded-Client-Cert, for HTTP.
 */
export function meshConnection(
  accepted: GatewayConnection,
  podAddress: string,
  mesh: SecuredPeer,
  sni: string,
  clientCert: string | undefined,
): Connection {
  return new Connection({
    tls: mesh.principal === null ? "simple" : "mtls",
    principal: mesh.principal,
    sourceIp: accepted.source.ip ?? "",
    destinationIp: podAddress,
    destinationPort: accepted.port,
    sni,
    alpn: mesh.alpn === undefined ? [] : [mesh.alpn],
    hop: { position: "gateway", clientCert },
  });
}
