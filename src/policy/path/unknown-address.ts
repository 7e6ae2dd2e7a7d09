/**
 * Rules that ask for what nobody knows: an address (pods of a template have none before they run), or metadata of an Envoy filter.
 * Whatever hangs on it is unknown, in both directions: neither what `ipBlocks` would allow nor what `notIpBlocks` would is promised.
 */
import type { Authorization } from "../authorization.ts";
import type { Clause, CompiledRule } from "../authorization-rule.ts";
import type { Condition } from "../condition.ts";
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
const UNKNOWN_ADDRESS: Verdict = Object.freeze(UNKNOWN);
const UNKNOWN_METADATA: Verdict = Object.freeze({ ...UNKNOWN, cause: "metadata-unknown" });

/**
 * The verdict in place of one by rules, where something that is not known could turn that; null where nothing could.
 * @param answer the external authorizer's, where a CUSTOM policy has it asked: only one that allows is of no account.
 */
export function unknownVerdict(
  authorization: Authorization,
  connection: Connection,
  request: HttpRequest | null,
  answer: AuthorizerAnswer | undefined,
): Verdict | null {
  const fields = unknownFields(connection, request);
  const asksMetadata = asksForMetadata(authorization);
  if (fields.size === 0 && !asksMetadata) return null;
  const turnsOn = (isUnknown: (condition: Condition) => boolean): boolean =>
    isDecisive(authorization, connection, request, answer, isUnknown);
  const isAddress = ({ field }: Condition): boolean => fields.has(field);
  const found = turnsOn(isAddress)
    ? UNKNOWN_ADDRESS
    : asksMetadata && turnsOn((condition) => condition.unknowable === true || isAddress(condition))
      ? UNKNOWN_METADATA
      : null;
  return found === null || request === null ? found : { ...found, code: 403 };
}

const ASKING = new WeakMap<Authorization, boolean>();

/** Nearly none does: found out once. */
function asksForMetadata(authorization: Authorization): boolean {
  const known = ASKING.get(authorization);
  if (known !== undefined) return known;
  const { broken, custom, deny, allow } = authorization;
  const asks = [broken, custom?.set, deny, allow].some((set) =>
    set?.rules.some(({ rule }) =>
      [...rule.sources, ...rule.operations].some((clause) =>
        clause.some(({ unknowable }) => unknowable === true),
      ),
    ),
  );
  ASKING.set(authorization, asks);
  return asks;
}

function isDecisive(
  { broken, custom, deny, allow }: Authorization,
  connection: Connection,
  request: HttpRequest | null,
  answer: AuthorizerAnswer | undefined,
  isUnknown: (condition: Condition) => boolean,
): boolean {
  const matches = (set: RuleSet | null, unknown: boolean): boolean =>
    set?.rules.some(({ rule }) => ruleMatches(rule, connection, request, isUnknown, unknown)) ?? false;
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

/** @param unknown what conditions on what is not known are taken to say. */
function ruleMatches(
  rule: CompiledRule,
  connection: Connection,
  request: HttpRequest | null,
  isUnknown: (condition: Condition) => boolean,
  unknown: boolean,
): boolean {
  const holds = (clause: Clause): boolean =>
    clause.every((condition) => (isUnknown(condition) ? unknown : condition.matches(connection, request)));
  return rule.sources.some(holds) && rule.operations.some(holds);
}

const DENIED_UNASKED: ReadonlySet<string> = new Set(["ext-authz-misconfigured", "ext-authz-dry-run"]);

/** Whether rules alone led to it, so that what they ask for may turn it. */
export function isByRules({ layer, cause }: Verdict): boolean {
  return layer === "authorization" || DENIED_UNASKED.has(cause);
}
