/**
 * Rules that ask for an address which nobody knows: pods of a template have none before they run. Whatever hangs on it is
 * unknown, in both directions: neither what `ipBlocks` would allow nor what `notIpBlocks` would is promised.
 */
import type { Authorization } from "../authorization.ts";
import type { Clause, CompiledRule } from "../authorization-rule.ts";
import type { AuthorizerAnswer, Connection } from "../connection.ts";
import type { HttpRequest } from "../http-request.ts";
import type { RuleSet } from "../rule-set.ts";
import type { Verdict } from "../verdict.ts";

const UNKNOWN: Verdict = {
  allowed: false,
  code: 0,
  reason: "unknown",
  cause: "address-unknown",
  layer: "authorization",
  policy: null,
  rule: null,
};
export const UNKNOWN_TCP_ADDRESS: Verdict = Object.freeze(UNKNOWN);
export const UNKNOWN_HTTP_ADDRESS: Verdict = Object.freeze({ ...UNKNOWN, code: 403 });

/**
 * Whether the decision could turn on an address of the connection that is not known.
 * @param answer the external authorizer's, where a CUSTOM policy has it asked: only one that allows is of no account.
 */
export function isAddressDecisive(
  { broken, custom, deny, allow }: Authorization,
  connection: Connection,
  request: HttpRequest | null,
  answer: AuthorizerAnswer | undefined,
): boolean {
  const fields = unknownFields(connection, request);
  if (fields.size === 0) return false;
  const matches = (set: RuleSet | null, unknown: boolean): boolean =>
    set?.rules.some(({ rule }) => ruleMatches(rule, connection, request, fields, unknown)) ?? false;
  if (matches(broken, false) || matches(deny, false)) return false;
  const allowed = allow === null || matches(allow, false);
  if (!allowed && !matches(allow, true)) return false;
  const mayAsk = answer !== "allow" && matches(custom?.set ?? null, true);
  return !allowed || mayAsk || matches(broken, true) || matches(deny, true);
}

const SOURCE: readonly string[] = ["ipBlocks", "source.ip"];
const REMOTE: readonly string[] = ["remoteIpBlocks", "remote.ip"];
const DESTINATION: readonly string[] = ["destination.ip"];

function unknownFields(connection: Connection, request: HttpRequest | null): ReadonlySet<string> {
  const { sourceAddress, destinationAddress } = connection;
  const forwarded = request?.headers.some((name, index) => index % 2 === 0 && name === "x-forwarded-for");
  return new Set([
    ...(sourceAddress === null ? SOURCE : []),
    ...(sourceAddress === null && forwarded !== true ? REMOTE : []),
    ...(destinationAddress === null ? DESTINATION : []),
  ]);
}

/** @param unknown what conditions on unknown fields are taken to say. */
function ruleMatches(
  rule: CompiledRule,
  connection: Connection,
  request: HttpRequest | null,
  fields: ReadonlySet<string>,
  unknown: boolean,
): boolean {
  const holds = (clause: Clause): boolean =>
    clause.every((condition) =>
      fields.has(condition.field) ? unknown : condition.matches(connection, request),
    );
  return rule.sources.some(holds) && rule.operations.some(holds);
}

const DENIED_UNASKED: ReadonlySet<string> = new Set(["ext-authz-misconfigured", "ext-authz-dry-run"]);

/** Whether rules alone led to it, so that what they ask for may turn it. */
export function isByRules({ layer, cause }: Verdict): boolean {
  return layer === "authorization" || DENIED_UNASKED.has(cause);
}
