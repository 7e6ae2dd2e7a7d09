/** What a change of policy makes of connections and requests that are there already. */
import { type AmbientPolicy, decideAmbient } from "../policy/ambient/ambient-policy.ts";
import type { Connection } from "../policy/connection.ts";
import { causeText } from "../policy/explain.ts";
import { HttpRequest, requestRefusal } from "../policy/http-request.ts";
import { decideConnection, type InboundPolicy } from "../policy/inbound.ts";
import { type JwtEnvironment, verifyRequestJwt } from "../policy/jwt/verify-jwt.ts";
import { authorizeRequest } from "../policy/permit.ts";
import type { Verdict } from "../policy/verdict.ts";
import { CHAIN_CHANGED } from "../policy/verdict-catalogue.ts";
import { explainAmbientDenial, explainDenial } from "./explain-denial.ts";
import type { MutableFlow, RequestView } from "./http-service.ts";

/** Something open that is asked again when policy changes. */
export interface Rechecked {
  /** Ends itself, or what is under way in it, where that is no longer allowed. */
  recheck(): void;
}

/** Who forbids it now, for its record. */
export type Refusal = Pick<MutableFlow, "layer" | "reason" | "policy" | "rule" | "explanation">;

/** The same of a request, with the answer where none was given yet. */
export interface Revocation extends Refusal {
  readonly status: number;
  readonly body: string;
}

/**
 * Why a connection may not go on; undefined where it may.
 * @param perRequest whether its requests are decided one by one. A connection that would now be taken the other way is over: as bytes
 *   it would pass by the rules for requests.
 */
export function connectionRefusal(
  policy: InboundPolicy,
  connection: Connection,
  perRequest: boolean,
): Refusal | undefined {
  const verdict = decideConnection(policy, connection);
  if (!verdict.allowed) return refusalOf(policy, connection, byTransport(policy, connection, verdict));
  if (verdict.cause === "no-proxy" || (verdict.cause === "per-request") === perRequest) return undefined;
  return refusalOf(policy, connection, CHAIN_CHANGED);
}

/** The same of a connection that a ztunnel judges. */
export function ambientRefusal(policy: AmbientPolicy, connection: Connection): Refusal | undefined {
  const { allowed, layer, cause, policy: by, rule } = decideAmbient(policy, connection);
  if (allowed) return undefined;
  const why = explainAmbientDenial(policy, connection) ?? [];
  return { layer, reason: cause, policy: by, rule, explanation: [CUT, ...why] };
}

/** A refused transport is PeerAuthentication's doing, although no rule of it matched. */
function byTransport(policy: InboundPolicy, { destinationPort }: Connection, verdict: Verdict): Verdict {
  if (verdict.layer !== "transport" || policy.gateway !== null) return verdict;
  return { ...verdict, policy: policy.transport(destinationPort).policy };
}

/** Why a request that is under way may not go on. Never rejects. */
export async function revokedRequest(
  policy: InboundPolicy,
  connection: Connection,
  view: RequestView,
  version: 1 | 2,
  jwt: JwtEnvironment,
): Promise<Revocation | undefined> {
  const { method, target, authority, headers } = view;
  const request = HttpRequest.read(policy.pathNormalization, method, target, authority, headers, version);
  if (request === null) return revocationOf(policy, connection, requestRefusal(method, target));
  request.authorizer = "allow";
  if (policy.jwt !== null) request.jwt = await verifyRequestJwt(policy.jwt, request, jwt);
  const { allowed, verdict } = authorizeRequest(policy, connection, request);
  return allowed ? undefined : revocationOf(policy, connection, verdict, request);
}

function revocationOf(
  policy: InboundPolicy,
  connection: Connection,
  verdict: Verdict,
  request?: HttpRequest,
): Revocation {
  const status = verdict.code === 0 ? 403 : verdict.code;
  return { ...refusalOf(policy, connection, verdict, request), status, body: "RBAC: access denied" };
}

function refusalOf(
  policy: InboundPolicy,
  connection: Connection,
  { layer, cause, policy: by, rule }: Verdict,
  request?: HttpRequest,
): Refusal {
  const why = cause === "chain-changed" ? [causeText(cause)] : explainDenial(policy, connection, request);
  return { layer, reason: cause, policy: by, rule, explanation: [CUT, ...(why ?? [])] };
}

/** No route takes it any more. @param why what has become of it, for a person. */
export function routeGone(reason: string, why = "no route takes it any more"): Refusal {
  return { layer: "route", reason, policy: null, rule: null, explanation: [CUT, why] };
}

const CUT = "it was allowed when it began, and was cut when the policies changed";
