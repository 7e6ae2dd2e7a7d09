/**
 * CUSTOM AuthorizationPolicies as Envoy's filters, as istiod builds them: an RBAC that decides nothing notes which rule matches, and
 * ext_authz asks where one did. What cannot be carried out becomes an RBAC that denies.
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/ext_authz/v3/ext_authz.proto
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { type EnvoyObject, extension } from "./envoy-object.ts";
import { httpExtAuthz, networkExtAuthz, readAuthorizer } from "./ext-authz-service.ts";
import { isDryRun, rbacRules, specOf } from "./rbac-rules.ts";
import { policiesFor } from "./workload-policies.ts";

type Kind = "http" | "network";

/** Names in the metadata which rule had somebody asked: `<prefix>shadow_effective_policy_id`. */
export const EXT_AUTHZ_STAT_PREFIX = "istio_ext_authz_";
const RULE_PREFIX = "istio-ext-authz";
const BAD_SUFFIX = "-deny-due-to-bad-CUSTOM-action";

/** None without a CUSTOM policy. To stand before all others, since no token is known when authorizers are asked. */
export function extAuthzFilters(mesh: Mesh, workload: Workload, kind: Kind): EnvoyObject[] {
  const policies = policiesFor(mesh, workload, mesh.authorizationPolicies).filter(
    (policy) => specOf(policy).action === "CUSTOM",
  );
  const names = [...new Set(policies.map(providerName))].sort();
  return names.flatMap((name) => {
    const own = policies.filter((policy) => providerName(policy) === name);
    const authorizer = names.length > 1 ? null : readAuthorizer(mesh, name);
    if (authorizer === null) return [denying(mesh, own, name, kind)];
    const fields = kind === "http" ? httpExtAuthz(authorizer) : networkExtAuthz(authorizer);
    return fields === null ? [] : [noting(mesh, own, name, kind), asking(fields, name, kind)];
  });
}

function providerName(policy: Resource): string {
  return specOf(policy).provider?.name ?? "";
}

function ruleNames(provider: string): (name: string) => string {
  return (name) => `${RULE_PREFIX}-${provider}-${name}`;
}

function denying(mesh: Mesh, policies: readonly Resource[], provider: string, kind: Kind): EnvoyObject {
  const enforced = policies.filter((policy) => !isDryRun(policy));
  const nameOf = (name: string): string => `${ruleNames(provider)(name)}${BAD_SUFFIX}`;
  return rbac(kind, { rules: rbacRules(mesh, enforced, "DENY", kind, nameOf) });
}

/** What is annotated as a dry run stands where RBAC enforces: istiod's own doing since 1.30. */
function noting(mesh: Mesh, policies: readonly Resource[], provider: string, kind: Kind): EnvoyObject {
  const of = (dryRun: boolean): EnvoyObject =>
    rbacRules(
      mesh,
      policies.filter((policy) => isDryRun(policy) === dryRun),
      "DENY",
      kind,
      ruleNames(provider),
    );
  return rbac(kind, {
    ...(policies.some(isDryRun) ? { rules: of(true) } : {}),
    shadow_rules: of(false),
    shadow_rules_stat_prefix: EXT_AUTHZ_STAT_PREFIX,
  });
}

function rbac(kind: Kind, fields: EnvoyObject): EnvoyObject {
  const prefix = kind === "network" ? { stat_prefix: "tcp." } : {};
  return extension(`envoy.filters.${kind}.rbac`, `extensions.filters.${kind}.rbac.v3.RBAC`, {
    ...prefix,
    ...fields,
  });
}

/** Asks where the RBAC before it has noted a rule of this provider's policies. */
function asking(fields: EnvoyObject, provider: string, kind: Kind): EnvoyObject {
  return extension(`envoy.filters.${kind}.ext_authz`, `extensions.filters.${kind}.ext_authz.v3.ExtAuthz`, {
    ...fields,
    filter_enabled_metadata: {
      filter: `envoy.filters.${kind}.rbac`,
      path: [{ key: `${EXT_AUTHZ_STAT_PREFIX}shadow_effective_policy_id` }],
      value: { string_match: { prefix: `${RULE_PREFIX}-${provider}` } },
    },
  });
}
