/** Connections that are taken as bytes: who may open them, and whether they still may when policy changes. */
import type { Socket } from "node:net";
import type { FlowAuthorizer, FlowSource } from "../model/flow-record.ts";
import type { Connection } from "../policy/connection.ts";
import type { InboundPolicy } from "../policy/inbound.ts";
import type { Denial, Permit } from "../policy/permit.ts";
import {
  type AskedAnswer,
  type AskedPeers,
  askedPeers,
  authorizeAsked,
  forgetOthers,
} from "./ext-authz/authorize-asked.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { connectionRefusal, type Refusal } from "./recheck.ts";

/** What its authorizer is told of, where a CUSTOM policy has one asked. */
export interface JudgedBytes {
  readonly socket: Socket;
  readonly connection: Connection;
  readonly source: FlowSource;
  /** Whether TLS ended here, so that our own certificate was shown. */
  readonly secured: boolean;
  /** What was said before of what is inside the same connection. */
  readonly known?: AskedAnswer | undefined;
}

/**
 * Decides, after the authorizer of a CUSTOM policy has said its word where one is to be asked; nothing is read of the connection meanwhile.
 * @param policy the present one.
 * @param settled called once, unless the client has gone by then.
 */
export function authorizeBytes(
  policy: () => InboundPolicy,
  authorizers: AuthorizerClient,
  { socket, connection, source, secured, known }: JudgedBytes,
  settled: (outcome: Permit | Denial, asked: AskedAnswer | undefined) => void,
): void {
  const peers = (): AskedPeers => askedPeers(policy(), connection, source.port, secured);
  authorizeAsked(policy, authorizers, connection, known, peers, (outcome, asked) => {
    if (!socket.destroyed) settled(outcome, asked);
  });
}

/** Who forbids it now; undefined while it may go on. @param asked which authorizer let it pass. */
export function bytesRefusal(
  policy: InboundPolicy,
  connection: Connection,
  { verdict }: Permit,
  asked: FlowAuthorizer | undefined,
): Refusal | undefined {
  forgetOthers(policy, connection, asked);
  return connectionRefusal(policy, connection, verdict.cause === "per-request");
}
