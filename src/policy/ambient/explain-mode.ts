/** Why a server's sidecar and its node's ztunnel come to different answers, for a person. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import type { AuthorizationSpec } from "../authorization-spec.ts";
import { attachedPolicies } from "../policy-attachment.ts";
import type { Verdict } from "../verdict.ts";
import type { AmbientPolicy, L4Policy } from "./ambient-policy.ts";
import { httpAttributes, type L4Rule } from "./l4-rule.ts";

/** What the two said of the same connection or request. */
export interface ModeVerdicts {
  readonly sidecar: Verdict;
  readonly ambient: Verdict;
}

/** @returns what makes the difference, a line each; none where it is only that the two speak otherwise. */
export function explainMode(
  mesh: Mesh,
  workload: Workload,
  compiled: AmbientPolicy,
  { sidecar, ambient }: ModeVerdicts,
): readonly string[] {
  const policies = attachedPolicies<Resource<unknown>>(
    mesh.authorizationPolicies,
    workload,
    mesh.config.rootNamespace,
  );
  const lines = [
    ...(sidecar.layer === "jwt"
      ? ["ztunnel reads no tokens: RequestAuthentication is for sidecars and waypoints"]
      : []),
    ...sidecarRuleLines(policies, compiled, sidecar),
    ...ambientRuleLines(compiled, ambient),
    ...transportLines(sidecar, ambient),
    ...(ambient.cause === "no-allow-matched" ? droppedLines(policies, compiled) : []),
    ...(sidecar.cause === "no-allow-matched" && ambient.cause === "no-allow-policies"
      ? policies
          .filter((policy) => actionOf(policy) === "ALLOW")
          .flatMap((policy) => absentLine(policy, compiled))
      : []),
  ];
  return [...new Set(lines)];
}

/** What becomes at ztunnel of the rule that decides at the sidecar. */
function sidecarRuleLines(
  policies: readonly Resource<unknown>[],
  compiled: AmbientPolicy,
  { policy: name, rule: index }: Verdict,
): readonly string[] {
  const policy = policies.find((own) => resourceName(own) === name);
  if (policy === undefined || index === null) return [];
  const l4 = findPolicy(compiled, policy);
  if (l4 === undefined) return absentLine(policy, compiled);
  const rule = l4.rules.find((own) => own.index === index);
  if (rule === undefined) return [droppedLine(policy, index)];
  const lost = lostLine(l4, rule);
  return rule.clauses.some((entries) => entries.every((entry) => entry.length === 0))
    ? [
        `${lost ?? `of rule ${index} of ${name} ztunnel knows nothing`}; a clause of which nothing is left never matches there`,
      ]
    : lost === undefined
      ? trustDomainLine(policy, index)
      : [lost];
}

/** What is missing in the rule that decides at ztunnel. */
function ambientRuleLines(
  compiled: AmbientPolicy,
  { policy: name, rule: index }: Verdict,
): readonly string[] {
  const l4 = [...compiled.deny, ...compiled.allow].find(({ policy }) => policy === name);
  const rule = l4?.rules.find((own) => own.index === index);
  const lost = l4 === undefined || rule === undefined ? undefined : lostLine(l4, rule);
  return lost === undefined ? [] : [`${lost}: the rest of it decides alone`];
}

function lostLine({ policy }: L4Policy, { index, dropped }: L4Rule): string | undefined {
  if (dropped.length === 0) return undefined;
  return `of rule ${index} of ${policy} ztunnel leaves ${[...new Set(dropped)].join(", ")} out`;
}

function trustDomainLine(policy: Resource<unknown>, index: number): readonly string[] {
  const { from = [] } = specOf(policy).rules?.[index] ?? {};
  const asks = from.some(
    ({ source = {} }) => source.trustDomains !== undefined || source.notTrustDomains !== undefined,
  );
  return asks
    ? [`istiod does not tell ztunnel of the trustDomains in rule ${index} of ${resourceName(policy)}`]
    : [];
}

function droppedLine(policy: Resource<unknown>, index: number): string {
  const rule = specOf(policy).rules?.[index] ?? {};
  const names = [...new Set(httpAttributes(rule))].join(", ");
  return `ztunnel drops rule ${index} of ${resourceName(policy)} whole: an ALLOW rule that asks for ${names} cannot be judged without HTTP`;
}

function droppedLines(policies: readonly Resource<unknown>[], compiled: AmbientPolicy): readonly string[] {
  return compiled.allow.flatMap(({ policy: name, rules }) => {
    const policy = policies.find((own) => resourceName(own) === name);
    if (policy === undefined) return [];
    const kept = new Set(rules.map(({ index }) => index));
    return (specOf(policy).rules ?? []).flatMap((_, index) =>
      kept.has(index) ? [] : [droppedLine(policy, index)],
    );
  });
}

/** Policies that ztunnel never sees. */
function absentLine(policy: Resource<unknown>, compiled: AmbientPolicy): readonly string[] {
  if (findPolicy(compiled, policy) !== undefined) return [];
  const name = resourceName(policy);
  return actionOf(policy) === "CUSTOM"
    ? [`ztunnel asks no external authorizer: ${name} needs a waypoint`]
    : [`${name} does not reach ztunnel: there an empty selector selects nothing`];
}

function transportLines(sidecar: Verdict, ambient: Verdict): readonly string[] {
  if (ambient.cause === "foreign-trust-domain" && sidecar.cause !== "foreign-trust-domain")
    return ["ztunnel takes identities of the mesh's own trust domain alone: aliases do not count"];
  if (ambient.cause === "plaintext-refused" && sidecar.layer !== "transport")
    return ["istiod's policies for ztunnel refuse more plaintext than PeerAuthentication does at sidecars"];
  if (sidecar.cause === "no-chain" && ambient.layer !== "transport")
    return [
      "of PeerAuthentication istiod hands ztunnel only what it turns into policies, and here that is less than is written",
    ];
  return [];
}

function findPolicy({ deny, allow }: AmbientPolicy, policy: Resource<unknown>): L4Policy | undefined {
  return [...deny, ...allow].find((own) => own.policy === resourceName(policy));
}

function specOf(policy: Resource<unknown>): AuthorizationSpec {
  return (policy.spec ?? {}) as AuthorizationSpec;
}

function actionOf(policy: Resource<unknown>): string {
  return specOf(policy).action ?? "ALLOW";
}
