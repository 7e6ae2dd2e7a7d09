/** A request at a proxy that ends HTTP: read, its token settled, decided. Shared by servers and gateways. */
import type { Connection } from "../connection.ts";
import { HttpRequest, requestRefusal } from "../http-request.ts";
import { decideRequest, type InboundPolicy } from "../inbound.ts";
import type { Verdict } from "../verdict.ts";
import { type Flight, type JourneyContext, speaksHttp } from "./journey.ts";
import { settleToken } from "./settle-token.ts";
import { isByRules, unknownVerdict } from "./unknown-address.ts";

export interface JudgedRequest {
  readonly verdict: Verdict;
  /** Undefined where what came is no acceptable request. */
  readonly request?: HttpRequest;
}

export async function judgeRequest(
  context: JourneyContext,
  policy: InboundPolicy,
  connection: Connection,
  flight: Flight,
): Promise<JudgedRequest> {
  const unreadable = speaksHttp(flight) ? flight.unreadable?.[context.semantics] : null;
  if (unreadable) return { verdict: unreadable };
  const { method, path, authority, headers } = flight;
  const version = flight.protocol === "grpc" ? 2 : 1;
  const request = speaksHttp(flight)
    ? HttpRequest.read(policy.pathNormalization, method, path, authority, headers, version)
    : null;
  if (request === null) return { verdict: requestRefusal(method, path) };
  request.authorizer = flight.authorizer;
  const unknownToken = await settleToken(context, policy, request, flight);
  const verdict = decideRequest(policy, connection, request);
  if (verdict.layer === "jwt" && unknownToken !== null) return { verdict: unknownToken, request };
  if (!isByRules(verdict)) return { verdict, request };
  return {
    verdict: unknownVerdict(policy.http, connection, request, flight.authorizer) ?? verdict,
    request,
  };
}
