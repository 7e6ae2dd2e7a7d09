/** Why, for a person: who decided and by which clause, and for a refusal what would have allowed it. */
import type { Authorization } from "./authorization.ts";
import type { Clause, CompiledRule } from "./authorization-rule.ts";
import type { Condition } from "./condition.ts";
import type { Connection } from "./connection.ts";
import type { HttpRequest } from "./http-request.ts";
import {
  asSeenBy,
  chainOf,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  observe,
} from "./inbound.ts";
import type { InboundCause } from "./inbound-cause.ts";
import type { RuleSet } from "./rule-set.ts";
import type { Verdict } from "./verdict.ts";

/**
 * Lines for a person, the decision first. Text is formatted here and nowhere on the way of a request.
 * @param request undefined: about the connection.
 */
export function explainInbound(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): string[] {
  const onConnection = decideConnection(policy, connection);
  if (request === undefined || !onConnection.allowed)
    return explainConnection(policy, connection, onConnection);
  const verdict = decideRequest(policy, connection, request);
  return [
    ...explainVerdict(policy, policy.http, connection, request, verdict),
    ...observations(policy, connection, request),
  ];
}

function explainConnection(policy: InboundPolicy, connection: Connection, verdict: Verdict): string[] {
  if (verdict.cause === "no-proxy") {
    const { unproxied } = policy.workload;
    return [CAUSES["no-proxy"], ...(unproxied === undefined ? [] : [unproxied])];
  }
  if (verdict.layer !== "authorization" && verdict.layer !== "ext-authz") {
    return [
      `${CAUSES[verdict.cause as InboundCause] ?? verdict.cause}`,
      ...transportLines(policy, connection),
    ];
  }
  const judged = asSeenBy(chainOf(policy, connection), connection);
  return [
    ...explainVerdict(policy, policy.tcp, judged, null, verdict),
    ...(judged === connection
      ? []
      : ["the connection is TLS that is passed through: its client certificate is not known here"]),
    ...observations(policy, connection, undefined),
  ];
}

/** One sentence for a cause; live records and `can` say the same. */
export function causeText(cause: InboundCause): string {
  return CAUSES[cause];
}

/** One sentence for each cause. */
const CAUSES: Readonly<Record<InboundCause, string>> = {
  "no-proxy": "allowed: no proxy stands before the workload, so nothing is checked",
  "per-request": "the connection is taken; each HTTP request on it is decided by itself",
  "tls-passthrough": "allowed: TLS is passed through undecrypted",
  "no-allow-policies": "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
  "allow-matched": "allowed by a rule",
  "deny-matched": "denied by a rule",
  "no-allow-matched": "denied: ALLOW policies apply to the workload and none of their rules matches",
  "chain-changed":
    "the connection would now be taken in another way (as bytes, or as HTTP) than when it began",
  "ext-authz-unanswered": "unknown: an external authorizer has to be asked",
  "ext-authz-denied": "denied by the external authorizer",
  "ext-authz-failed":
    "denied: the external authorizer could not be asked, and its provider does not fail open",
  "ext-authz-misconfigured":
    "denied: the CUSTOM policy names a provider that cannot be used, or several providers apply",
  "ext-authz-dry-run":
    "denied: the CUSTOM policy is annotated istio.io/dry-run, which Istio (since 1.30) makes a DENY of what it matches",
  "no-chain":
    "refused: no filter chain takes the connection (plaintext to a STRICT port, or TLS without the mesh's ALPN)",
  "no-listener": "refused: nothing listens on the port",
  "no-client-certificate": "refused in the handshake: the client has no certificate",
  "untrusted-certificate":
    "refused in the handshake: the client's certificate is not a valid one of this mesh's authority for a workload",
  "certificate-revoked": "refused in the handshake: a certificate that was revoked",
  "revocation-unknown":
    "refused in the handshake: the control plane has been silent for longer than `--revocation-max-age` allows",
  "foreign-trust-domain":
    "refused in the handshake: the client's identity is not of the mesh's trust domain or an alias of it",
  "tls-to-plaintext-port": "refused: the port takes no TLS",
  "plaintext-to-tls-port": "refused: the port takes only TLS",
  "bad-request": "refused with 400: not an acceptable HTTP request",
  "no-relative-path": "refused with 404: the request target has no path",
  "jwt-unverified": "unknown: the request's token was not verified",
  "jwt-required": "refused with 401: a token is required and none came",
  "jwt-invalid": "refused with 401: the token is not valid",
  "jwt-no-keys":
    "refused with 401: the keys of the token's issuer could not be had yet (`bulwark status` says why)",
  "jwt-unknown-issuer": "refused with 401: the token is of an issuer that no RequestAuthentication names",
  "jwt-wrong-audience": "refused with 403: the token is for another audience",
};

function transportLines(policy: InboundPolicy, connection: Connection): string[] {
  if (policy.gateway !== null) return [];
  const { mode, policy: by } = policy.transport(connection.destinationPort);
  const came = connection.tls === "plaintext" ? "plaintext" : `TLS, client: ${shownBy(connection)}`;
  return [`port ${connection.destinationPort} is ${mode} by ${by ?? "default"}; what came is ${came}`];
}

function shownBy({ tls, principal }: Connection): string {
  return tls === "rogue"
    ? "a certificate of an authority that the mesh does not trust"
    : (principal ?? "no certificate");
}

function explainVerdict(
  policy: InboundPolicy,
  authorization: Authorization,
  connection: Connection,
  request: HttpRequest | null,
  verdict: Verdict,
): string[] {
  const head = CAUSES[verdict.cause as InboundCause] ?? verdict.cause;
  if (verdict.rule !== null) {
    const rule = findRule(authorization, verdict);
    const named = `${head}${providerOf(authorization, verdict)}: ${verdict.policy} rule ${verdict.rule}`;
    const clauses = rule === undefined ? [] : matchedClauses(rule, connection, request);
    return [named, ...clauses, ...strictNote(policy, connection)];
  }
  if (verdict.cause === "no-allow-matched" && authorization.allow !== null)
    return [
      head,
      ...nearest(authorization.allow, connection, request),
      ...droppedLines(authorization, request),
      ...strictNote(policy, connection),
    ];
  return [verdict.policy === null ? head : `${head} (${verdict.policy})`];
}

/** Which authorizer a CUSTOM policy has asked; nothing for other policies, and for a provider that cannot be used. */
function providerOf(authorization: Authorization, verdict: Verdict): string {
  for (const { provider, policy } of authorization.custom?.demands.values() ?? []) {
    if (policy === verdict.policy)
      return ` (provider \`${provider.name}\`, ${provider.kind}, ${provider.hostname}:${provider.port})`;
  }
  return "";
}

function findRule(authorization: Authorization, verdict: Verdict): CompiledRule | undefined {
  const sets = [authorization.broken, authorization.custom?.set, authorization.deny, authorization.allow];
  for (const set of sets) {
    for (const { rule } of set?.rules ?? []) {
      if (rule.policy === verdict.policy && rule.index === verdict.rule) return rule;
    }
  }
  return undefined;
}

function matchedClauses(rule: CompiledRule, connection: Connection, request: HttpRequest | null): string[] {
  const matching = [rule.sources, rule.operations].flatMap(
    (clauses) => clauses.find((clause) => failing(clause, connection, request).length === 0) ?? [],
  );
  if (matching.length === 0) return ["the rule matches everything"];
  return matching.map((condition) => `${wanted(condition)}: came ${condition.seen(connection, request)}`);
}

function failing(clause: Clause, connection: Connection, request: HttpRequest | null): Condition[] {
  return clause.filter((condition) => !condition.matches(connection, request));
}

const SHOWN_VALUES = 5;

function wanted({ field, values, notValues }: Condition): string {
  const list = (texts: readonly string[]): string =>
    texts.length > SHOWN_VALUES
      ? `${texts.slice(0, SHOWN_VALUES).join(", ")} and ${texts.length - SHOWN_VALUES} more`
      : texts.join(", ");
  const parts = [
    ...(values.length === 0 ? [] : [`in [${list(values)}]`]),
    ...(notValues.length === 0 ? [] : [`not in [${list(notValues)}]`]),
  ];
  return `${field} ${parts.join(" and ")}`;
}

/** The ALLOW rule with the fewest conditions that fail, and what they wanted. None matches. */
function nearest(allow: RuleSet, connection: Connection, request: HttpRequest | null): string[] {
  const missing = allow.rules.map(({ rule }) => ({
    rule,
    misses: [rule.sources, rule.operations].flatMap((clauses) => fewestMisses(clauses, connection, request)),
  }));
  const [best] = missing.sort((a, b) => a.misses.length - b.misses.length);
  if (best === undefined) return ["the ALLOW policies that apply have no rule that could match here"];
  const { rule, misses } = best;
  return [
    `the nearest rule that would have allowed it is rule ${rule.index} of ${rule.policy}`,
    ...misses.map(
      (condition) => `it wants ${wanted(condition)}; came ${condition.seen(connection, request)}`,
    ),
  ];
}

const SHOWN_DROPPED = 2;

/** Rules that a reader of the policy would look for first. */
function droppedLines({ dropped }: Authorization, request: HttpRequest | null): string[] {
  const why =
    request === null
      ? "counts for nothing on a port that is decided as TCP: it asks for HTTP, or has a value that cannot be compiled"
      : "counts for nothing: it has a value that cannot be compiled";
  const more = dropped.length - SHOWN_DROPPED;
  return [
    ...dropped.slice(0, SHOWN_DROPPED).map(({ policy, rule }) => `rule ${rule} of ${policy} ${why}`),
    ...(more > 0 ? [`and so do ${more} more`] : []),
  ];
}

function fewestMisses(
  clauses: readonly Clause[],
  connection: Connection,
  request: HttpRequest | null,
): readonly Condition[] {
  const misses = clauses.map((clause) => failing(clause, connection, request));
  return misses.sort((a, b) => a.length - b.length)[0] ?? [];
}

/** Where the two semantics may differ, it is said: see the closed list in docs/decisions.md. */
function strictNote(policy: InboundPolicy, connection: Connection): string[] {
  const odd = connection.principal !== null && connection.namespace === "";
  if (!odd) return [];
  return [
    policy.semantics === "strict"
      ? "the identity is not <trust domain>/ns/<namespace>/sa/<account>: no rule about namespaces or accounts allows it, and every one that denies does"
      : "the identity is not <trust domain>/ns/<namespace>/sa/<account>: Istio matches namespaces and accounts anywhere in it (strict semantics would not)",
  ];
}

function observations(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): string[] {
  return observe(policy, connection, request).map(({ effect, policy: name, rule }) => {
    if (name === null)
      return "dry-run ALLOW policies apply, and none of their rules matches: they would deny";
    const what = {
      audit: "audited",
      "would-allow": "dry run: would be allowed",
      "would-deny": "dry run: would be denied",
    };
    return `${what[effect]} by ${name} rule ${rule}`;
  });
}
