/** Workloads that verify tokens by another RequestAuthentication than before, though none has changed what it says. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { attachedPolicies } from "../../policy/policy-attachment.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { attachedCauses } from "./attached-causes.ts";
import { type Cause, changedResources } from "./causes.ts";
import { movingCauses } from "./client/moved-workloads.ts";

interface TokenRule {
  readonly issuer?: string;
  readonly jwks?: string;
  readonly jwksUri?: string;
  readonly jwks_uri?: string;
  readonly fromHeaders?: unknown;
  readonly fromParams?: unknown;
  readonly fromCookies?: unknown;
  readonly forwardOriginalToken?: boolean;
  readonly outputPayloadToHeader?: string;
  readonly outputClaimToHeaders?: unknown;
  readonly spaceDelimitedClaims?: unknown;
}

/**
 * Whose tokens count is compared, and taken as signed; with which keys, where they stand, and what is made of them is not: where that is another for an
 * issuer whose tokens count before and after, what has changed is told.
 */
export function tokenKeyChanges(before: Mesh, after: Mesh): readonly Cause[] {
  if (before.requestAuthentications.length + after.requestAuthentications.length === 0) return [];
  const old = new Map(before.workloads.map((workload) => [workload.key, workload]));
  const found = after.workloads.flatMap((workload) => {
    const known = old.get(workload.key);
    return known === undefined ? [] : changesAt([before, after], [known, workload]);
  });
  return [...new Map(found.map((cause) => [`${cause.resource} ${cause.what}`, cause])).values()];
}

const TOKENS = "tokens of the same issuer are verified otherwise";

type Sides<T> = readonly [before: T, after: T];

function changesAt(meshes: Sides<Mesh>, workloads: Sides<Workload>): readonly Cause[] {
  const [was, is] = [holding(meshes[0], workloads[0]), holding(meshes[1], workloads[1])];
  if (namesOf(was) === namesOf(is)) return [];
  const [old, now] = [byIssuer(was), byIssuer(is)];
  const isOther = [...now].some(([issuer, text]) => old.has(issuer) && old.get(issuer) !== text);
  if (!isOther) return [];
  const own = changedResources([workloads[0].resource], [workloads[1].resource]);
  const moved = own.length > 0 ? own : movingCauses(meshes, workloads);
  // Those that came, went or changed for themselves are told already.
  return attachedCauses(meshes, [was, is], () => moved).flatMap(({ what, ...cause }) => {
    if (what === undefined && cause.resource.startsWith("RequestAuthentication ")) return [];
    return [{ ...cause, what: what === undefined ? TOKENS : `${what}, and ${TOKENS}` }];
  });
}

function holding({ requestAuthentications, config }: Mesh, workload: Workload): readonly Resource[] {
  return attachedPolicies(requestAuthentications, workload, config.rootNamespace);
}

function namesOf(policies: readonly Resource[]): string {
  return policies.map(resourceName).sort().join();
}

function byIssuer(policies: readonly Resource[]): ReadonlyMap<string, string> {
  const texts = new Map<string, string[]>();
  for (const { spec } of policies) {
    const { jwtRules = [] } = (spec ?? {}) as { readonly jwtRules?: readonly TokenRule[] };
    for (const rule of jwtRules) {
      const { issuer = "" } = rule;
      texts.set(issuer, [...(texts.get(issuer) ?? []), textOf(rule)]);
    }
  }
  return new Map([...texts].map(([issuer, own]) => [issuer, own.sort().join()]));
}

function textOf(rule: TokenRule): string {
  const { jwks, jwksUri = rule.jwks_uri, fromHeaders, fromParams, fromCookies } = rule;
  const { forwardOriginalToken, outputPayloadToHeader, outputClaimToHeaders, spaceDelimitedClaims } = rule;
  return JSON.stringify([
    [jwks, jwksUri, fromHeaders, fromParams, fromCookies],
    [forwardOriginalToken, outputPayloadToHeader, outputClaimToHeaders, spaceDelimitedClaims],
  ]);
}
