/** One condition of a rule: a field with its values and notValues, compiled. */
import type { AuthorizationAction } from "./authorization-spec.ts";
import type { Connection } from "./connection.ts";
import type { ForwardedForTrust } from "./forwarded-for.ts";
import type { HttpRequest } from "./http-request.ts";
import type { ConditionKeys } from "./rule-index/dimension.ts";
import type { TrustDomains } from "./trust-domain-alias.ts";

/** Total: cannot throw, does not allocate. On a TCP chain the request is null; conditions that need one are not compiled there. */
export type Predicate = (connection: Connection, request: HttpRequest | null) => boolean;

export interface Condition {
  /** As in the policy: `principals`, `paths`, `request.headers[x-role]`. */
  readonly field: string;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
  readonly matches: Predicate;
  /** What `values` ask for, and what `notValues` forbid; null where there are none. For analysis: `matches` may say more. */
  readonly asks: Predicate | null;
  readonly forbids: Predicate | null;
  /** What came, for an explanation to a person. */
  readonly seen: (connection: Connection, request: HttpRequest | null) => string;
  /** For indexing, where `values` can match at all; null: anywhere, or there are none. */
  readonly keys: ConditionKeys | null;
  /** The same of `notValues`. */
  readonly notKeys: ConditionKeys | null;
  /** What came cannot be known; whatever hangs on it is unknown where nobody has to decide. */
  readonly unknowable?: true;
}

/** What compiling a condition depends on, besides the condition. */
export interface ConditionContext {
  readonly semantics: "istio" | "strict";
  readonly action: AuthorizationAction;
  readonly policyNamespace: string;
  readonly trustDomains: TrustDomains;
  /** Others' trust domains whose identities are taken; always empty under Istio's semantics. */
  readonly federated: readonly string[];
  readonly forwardedFor: ForwardedForTrust;
  /** False on TCP chains. */
  readonly http: boolean;
}

/** How one kind of field is matched. */
export interface Field {
  /** Needs an HTTP request. */
  readonly http: boolean;
  /** Reads the namespace or account out of the caller's identity. */
  readonly account?: true;
  /** Nothing here can tell what came: our own proxies take it for whatever lets less pass. */
  readonly unknowable?: true;
  /** Undefined where a value cannot be compiled (which validation should have refused). */
  compile(values: readonly string[], context: ConditionContext): Predicate | undefined;
  seen(connection: Connection, request: HttpRequest | null, context: ConditionContext): string;
  /** See Condition.keys. Called only with values that compile. */
  keys?(values: readonly string[], context: ConditionContext): ConditionKeys | null;
}

/**
 * What becomes of a condition: compiled; `omit` it, which makes the rule wider (DENY, AUDIT and CUSTOM, where an HTTP
 * field stands on a TCP chain or a value cannot be compiled); or `drop-rule`, which makes an ALLOW narrower.
 */
export type ConditionOutcome = Condition | "omit" | "drop-rule";

export function compileCondition(
  name: string,
  field: Field | undefined,
  values: readonly string[],
  notValues: readonly string[],
  context: ConditionContext,
): ConditionOutcome {
  const usable = field !== undefined && (context.http || !field.http);
  const positive = usable ? field.compile(values, context) : undefined;
  const negative = usable ? field.compile(notValues, context) : undefined;
  if (field === undefined || positive === undefined || negative === undefined) {
    return context.action === "ALLOW" ? "drop-rule" : "omit";
  }
  const asks = values.length === 0 ? null : positive;
  const forbids = notValues.length === 0 ? null : negative;
  const matches = combine(asks, forbids);
  const guarded = field.account === true && context.semantics === "strict";
  const known = guarded ? failClosed(matches, context) : matches;
  const own = field.unknowable === true ? matchUnknown(context) : known;
  const isOfOthers = guarded && context.federated.length > 0;
  return {
    field: name,
    values,
    notValues,
    matches: isOfOthers ? judgeForeign(own, asks, context) : own,
    asks,
    forbids,
    seen: (connection, request) => field.seen(connection, request, context),
    keys: keysOf(field, values, context),
    notKeys: keysOf(field, notValues, context),
    ...(field.unknowable === true && context.semantics === "istio" ? { unknowable: true } : {}),
  };
}

/** What nobody knows is met in no ALLOW and in every other action. */
function matchUnknown({ action }: ConditionContext): Predicate {
  return action === "ALLOW" ? () => false : () => true;
}

function keysOf(field: Field, values: readonly string[], context: ConditionContext): ConditionKeys | null {
  return values.length === 0 ? null : (field.keys?.(values, context) ?? null);
}

/**
 * An identity that is not `<trust domain>/ns/<namespace>/sa/<account>` has neither; nothing can be said of it, so it is allowed by no rule that
 * asks, and denied by every one.
 */
function failClosed(matches: Predicate, context: ConditionContext): Predicate {
  const unknown = context.action !== "ALLOW";
  return (connection, request) =>
    connection.principal !== null && connection.namespace === "" ? unknown : matches(connection, request);
}

/**
 * A namespace or account that is written without its trust domain is one of this mesh: another domain gives such names to whom it
 * likes. So none of its identities is allowed by a rule that asks for them, and its names deny as they would here, but excuse nobody.
 */
function judgeForeign(own: Predicate, positive: Predicate | null, context: ConditionContext): Predicate {
  const federated = new Set(context.federated);
  const denies = context.action !== "ALLOW";
  return (connection, request) => {
    if (!federated.has(connection.trustDomain)) return own(connection, request);
    return denies && (connection.namespace === "" || positive === null || positive(connection, request));
  };
}

function combine(positive: Predicate | null, negative: Predicate | null): Predicate {
  if (positive === null) {
    return negative === null ? () => true : (connection, request) => !negative(connection, request);
  }
  if (negative === null) return positive;
  return (connection, request) => positive(connection, request) && !negative(connection, request);
}
