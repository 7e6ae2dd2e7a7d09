import type { Connection } from "../policy/connection.ts";
import type { HttpRequest } from "../policy/http-request.ts";
import { type InboundPolicy, type Observation, observe } from "../policy/inbound.ts";

/**
 * What policies that only watch (AUDIT, and those annotated `istio.io/dry-run`) say of a request or a connection, for its record;
 * undefined where there are none, or none has anything to say. Costs nothing where there are none.
 */
export function shadowOf(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): string | undefined {
  const { observers } = request === undefined ? policy.tcp : policy.http;
  if (observers.length === 0) return undefined;
  const said = observe(policy, connection, request).map(shadowText);
  return said.length === 0 ? undefined : said.join("; ");
}

function shadowText({ effect, policy, rule }: Observation): string {
  return policy === null
    ? `${effect}: no rule of the dry-run ALLOW policies matches`
    : `${effect} by ${policy} rule ${rule}`;
}
