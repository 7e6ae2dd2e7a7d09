/** Connections of TCP chains: decided on after the authorizer of a CUSTOM policy has been asked, where one is to be. */
import type { FlowAuthorizer } from "../../model/flow-record.ts";
import type { AuthorizerAnswer, Connection } from "../../policy/connection.ts";
import { type InboundPolicy, requiredAuthorizer } from "../../policy/inbound.ts";
import { authorizeConnection, type Denial, type Permit } from "../../policy/permit.ts";
import { askAboutConnection } from "./ask-request.ts";
import type { AuthorizerClient } from "./authorizer-client.ts";
import type { CheckInput } from "./check-input.ts";

/** Both ends of a connection, as its authorizer is told. */
export type AskedPeers = Pick<CheckInput, "source" | "destination">;

/** @param sourcePort 0 where it is not known. @param isTls whether the client was shown the workload's certificate. */
export function askedPeers(
  { workload }: InboundPolicy,
  connection: Connection,
  sourcePort: number | undefined,
  isTls: boolean,
): AskedPeers {
  return {
    source: { ip: connection.sourceIp, port: sourcePort ?? 0, principal: connection.subject ?? "" },
    destination: {
      ip: connection.destinationIp,
      port: connection.destinationPort,
      principal: isTls ? workload.spiffeId : "",
    },
  };
}

/** What an authorizer said of a connection: for its record, and for policy. */
export interface AskedAnswer {
  readonly record: FlowAuthorizer;
  readonly answer: AuthorizerAnswer | undefined;
}

/**
 * Calls `settled` once: at once where nobody is to be asked. Never rejects.
 * @param policy the present one, looked at again when the answer is there.
 * @param known what was said before of what is inside the same connection: the provider that said it is not asked again.
 */
export function authorizeAsked(
  policy: () => InboundPolicy,
  client: AuthorizerClient,
  connection: Connection,
  known: AskedAnswer | undefined,
  peers: () => AskedPeers,
  settled: (outcome: Permit | Denial, asked: AskedAnswer | undefined) => void,
): void {
  const present = policy();
  const demand = present.tcp.custom === null ? null : requiredAuthorizer(present, connection, undefined);
  if (demand === null) settled(authorizeConnection(present, connection), undefined);
  else if (demand.provider.name === known?.record.provider) {
    connection.authorizer = known.answer;
    settled(authorizeConnection(present, connection), undefined);
  } else
    void askAboutConnection(client, demand, connection, peers()).then((record) =>
      settled(authorizeConnection(policy(), connection), { record, answer: connection.authorizer }),
    );
}

/** An answer holds for the provider that gave it: where another one is to be asked now, there is none. */
export function forgetOthers(
  policy: InboundPolicy,
  connection: Connection,
  asked: FlowAuthorizer | undefined,
): void {
  if (policy.tcp.custom === null) return;
  const demand = requiredAuthorizer(policy, connection, undefined);
  if (demand?.provider.name !== asked?.provider) connection.authorizer = undefined;
}
