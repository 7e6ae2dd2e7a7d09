import type { RequestAuthenticationSpec } from "../../../model/mesh.ts";
import { isDryRun } from "../../../policy/authorization.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { httpPortOf } from "../facts/enforced-rules.ts";
import { requestInto } from "../facts/request-into.ts";
import { classesByPolicy, type ServerClass } from "../facts/server-classes.ts";
import { actionOf, asksForToken, refusesLackOfToken, rulesOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const tokenOptional: AuditRule = {
  id: "BW0609",
  title: "Tokens are checked where they come, but nobody has to bring one",
  severity: "high",
  attacks: ["M5"],
  what:
    "RequestAuthentications without `presence: REQUIRED` whose workloads have no AuthorizationPolicy that a request without a token fails at (an ALLOW with `requestPrincipals` or values of `request.auth.…`, a DENY with their negations) and none with action CUSTOM, and no route of " +
    "a gateway's that asks for claims (`@request.auth.claims`). A DENY of certain claims is none: who has no token has not these. A bad token is refused there, a request without one passes. Where the token or its claims are handed on to the application, which may ask for them itself, the weight is less. Waypoints are not looked at.",
  why: "The caller leaves the token out, and is served as if there were no RequestAuthentication.",
  fix: 'Add a DENY for `notRequestPrincipals: ["*"]`, or have the ALLOW rules ask for `requestPrincipals`; or set `presence: REQUIRED`.',
  claims: ["users-authenticated"],
  check: optional,
};

function* optional(audit: AuditContext): Iterable<Hit> {
  const byPolicy = audit.fact(classesByPolicy);
  for (const resource of audit.mesh.requestAuthentications) {
    const servers = (byPolicy.get(resource) ?? []).filter((server) => !server.isAmbient);
    const jwtRules = rulesOfTokens(resource);
    if (jwtRules.length === 0) continue;
    const found = firstOpen(audit, servers);
    if (found === undefined) continue;
    const { open, witness } = found;
    const isHandedOn = jwtRules.some(isForwarded);
    yield {
      resource,
      title: `no policy of \`${open.workload.key}\` asks for the token: requests without one pass`,
      ...(isHandedOn ? { severity: "medium" } : {}),
      ...(witness === undefined ? {} : { witness }),
    };
  }
}

interface TokenRule {
  readonly forwardOriginalToken?: boolean;
  readonly outputPayloadToHeader?: string;
  readonly outputClaimToHeaders?: readonly unknown[];
}

function rulesOfTokens({ spec }: Resource<RequestAuthenticationSpec>): readonly TokenRule[] {
  return (spec.jwtRules ?? []) as readonly TokenRule[];
}

function isForwarded({
  forwardOriginalToken,
  outputPayloadToHeader,
  outputClaimToHeaders = [],
}: TokenRule): boolean {
  return (
    forwardOriginalToken === true || (outputPayloadToHeader ?? "") !== "" || outputClaimToHeaders.length > 0
  );
}

function demandsTokens(audit: AuditContext, { inbound, authorization, workload }: ServerClass): boolean {
  if (inbound.jwt?.rules.some(({ required }) => required) === true) return true;
  if (workload.role === "gateway" && audit.fact(routesByClaims)) return true;
  return authorization
    .filter((policy) => !isDryRun(policy))
    .some(({ spec }) => {
      const action = actionOf(spec);
      if (action === "ALLOW") return rulesOf(spec).some(asksForToken);
      return action === "CUSTOM" || (action === "DENY" && rulesOf(spec).some(refusesLackOfToken));
    });
}

/** Gateways can route by claims: what has none has no route then. */
function routesByClaims({ mesh }: AuditContext): boolean {
  return mesh.virtualServices.some(({ spec }) => JSON.stringify(spec).includes("@request.auth.claims"));
}

/** At gateways without a witness: what they let in hangs on their routes. */
function firstOpen(
  audit: AuditContext,
  servers: readonly ServerClass[],
): { readonly open: ServerClass; readonly witness: Hit["witness"] } | undefined {
  for (const server of servers) {
    if (demandsTokens(audit, server)) continue;
    if (!server.isSidecar) return { open: server, witness: undefined };
    const witness = requestInto(audit, server, httpPortOf(server), { claims: null });
    if (witness !== undefined) return { open: server, witness };
  }
  return undefined;
}
