import type { Mesh, Workload } from "../model/mesh.ts";
import { isDryRun } from "../policy/authorization.ts";
import { selectSidecar } from "../policy/outbound/sidecar-scope.ts";
import { compileTransport, type MutualTlsMode, type TransportRules } from "../policy/peer-authentication.ts";
import { attachedPolicies } from "../policy/policy-attachment.ts";
import { type Resource, resourceName } from "../resources/resource.ts";

/** A way in which a change may let more pass than before, and for whom. */
export interface AccessGrowth {
  /** `Kind namespace/name` of what was removed or changed; it may be the workload itself. */
  readonly resource: string;
  readonly why: string;
  /** `namespace/name` of the workloads concerned. */
  readonly workloads: readonly string[];
}

interface Growth {
  readonly resource: string;
  readonly why: string;
}

/** A workload as it was and as it is. */
interface Pair {
  readonly before: { readonly mesh: Mesh; readonly workload: Workload };
  readonly after: { readonly mesh: Mesh; readonly workload: Workload };
}

/**
 * What of a change may widen access, by workload: judged by what holds for each workload before and after, so that a policy
 * that no longer selects it counts as one that was removed. Errs towards telling: a rule that reads otherwise may allow more.
 */
export function accessGrowth(before: Mesh, after: Mesh): readonly AccessGrowth[] {
  const now = new Map(after.workloads.map((workload) => [`${workload.kind} ${workload.key}`, workload]));
  const found = new Map<string, { growth: Growth; workloads: Set<string> }>();
  for (const workload of before.workloads) {
    const successor = now.get(`${workload.kind} ${workload.key}`);
    if (successor === undefined || workload.dataplane === "none") continue;
    const pair = { before: { mesh: before, workload }, after: { mesh: after, workload: successor } };
    for (const growth of growthsOf(pair)) {
      const key = `${growth.resource}\n${growth.why}`;
      const entry = found.get(key) ?? { growth, workloads: new Set<string>() };
      entry.workloads.add(workload.key);
      found.set(key, entry);
    }
  }
  return [...found.values()].map(({ growth, workloads }) => ({ ...growth, workloads: [...workloads] }));
}

function growthsOf(pair: Pair): readonly Growth[] {
  const { workload } = pair.after;
  if (workload.dataplane === "none") {
    const why = "no proxy of the mesh stands before it any more: no policy holds there";
    return [{ resource: `${workload.kind} ${workload.key}`, why }];
  }
  return [
    ...authorizationGrowths(pair),
    ...transportGrowths(pair),
    ...tokenGrowths(pair),
    ...outboundGrowths(pair),
    ...meshGrowths(pair.before.mesh, pair.after.mesh),
  ];
}

interface AuthorizationFields {
  readonly action?: string;
  readonly provider?: unknown;
  readonly rules?: readonly unknown[];
}

function authorizationGrowths({ before, after }: Pair): readonly Growth[] {
  const [held, holds] = [enforced(before), enforced(after)];
  const isOpen = ![...holds.values()].some((policy) => actionOf(policy) === "ALLOW");
  return [...held].flatMap(([resource, policy]) => {
    const why = lossOf(policy, holds.get(resource), isOpen);
    return why === undefined ? [] : [{ resource, why }];
  });
}

function enforced({ mesh, workload }: Pair["before"]): ReadonlyMap<string, Resource> {
  const policies: readonly Resource[] = attachedPolicies(
    mesh.authorizationPolicies,
    workload,
    mesh.config.rootNamespace,
  );
  const counted = policies.filter((policy) => !isDryRun(policy) && actionOf(policy) !== "AUDIT");
  return new Map(counted.map((policy) => [resourceName(policy), policy]));
}

/** @param isOpen no ALLOW policy holds for the workload now. */
function lossOf(before: Resource, after: Resource | undefined, isOpen: boolean): string | undefined {
  const action = actionOf(before);
  if (after === undefined || actionOf(after) !== action) {
    if (action !== "ALLOW") return `no longer holds: what it refused (${action}) may pass`;
    return isOpen ? "no ALLOW policy is left: every caller that nothing denies may pass" : undefined;
  }
  const [old, now] = [fieldsOf(before), fieldsOf(after)];
  if (action === "ALLOW")
    return isWithin(now.rules, old.rules) ? undefined : "its rules may allow more than before";
  const sameAuthorizer = JSON.stringify(old.provider) === JSON.stringify(now.provider);
  return isWithin(old.rules, now.rules) && sameAuthorizer
    ? undefined
    : `its rules may refuse less than before (${action})`;
}

function actionOf(policy: Resource): string {
  return fieldsOf(policy).action ?? "ALLOW";
}

function fieldsOf(policy: Resource): AuthorizationFields {
  return (policy.spec ?? {}) as AuthorizationFields;
}

/** Whether each of the one is, word for word, among the others. */
function isWithin(inner: readonly unknown[] = [], outer: readonly unknown[] = []): boolean {
  const known = new Set(outer.map((entry) => JSON.stringify(entry)));
  return inner.every((entry) => known.has(JSON.stringify(entry)));
}

const STRENGTH: Readonly<Record<MutualTlsMode, number>> = { DISABLE: 0, PERMISSIVE: 1, STRICT: 2 };

function transportGrowths({ before, after }: Pair): readonly Growth[] {
  const old = compileTransport(before.mesh, before.workload);
  const now = compileTransport(after.mesh, after.workload);
  const ports = new Set([undefined, ...old.ports.keys(), ...now.ports.keys()]);
  return [...ports].flatMap((port) => {
    const [was, is] = [ruleOf(old, port), ruleOf(now, port)];
    if (STRENGTH[is.mode] >= STRENGTH[was.mode]) return [];
    const where = port === undefined ? "" : ` on port ${port}`;
    const why = `mutual TLS${where} was ${was.mode} and is ${is.mode}: callers without an identity may come`;
    return [{ resource: was.policy ?? is.policy ?? "PeerAuthentication", why }];
  });
}

function ruleOf(rules: TransportRules, port: number | undefined): TransportRules["workload"] {
  return (port === undefined ? undefined : rules.ports.get(port)) ?? rules.workload;
}

function tokenGrowths({ before, after }: Pair): readonly Growth[] {
  const attached = ({ mesh, workload }: Pair["before"]): readonly Resource[] =>
    attachedPolicies(mesh.requestAuthentications, workload, mesh.config.rootNamespace);
  const holds = new Map(attached(after).map((policy) => [resourceName(policy), policy]));
  return attached(before).flatMap((policy) => {
    const resource = resourceName(policy);
    const now = holds.get(resource);
    if (now === undefined) return [{ resource, why: "no longer holds: its tokens are not checked any more" }];
    return isSameSpec(policy, now) ? [] : [{ resource, why: "tokens are checked otherwise than before" }];
  });
}

interface SidecarFields {
  readonly egress?: readonly { readonly hosts?: readonly string[] }[];
  readonly outboundTrafficPolicy?: { readonly mode?: string };
}

function outboundGrowths({ before, after }: Pair): readonly Growth[] {
  const [old, now] = [sidecarOf(before), sidecarOf(after)];
  if (old === undefined || isSameSpec(old, now)) return [];
  const resource = resourceName(old);
  if (now === undefined)
    return [{ resource, why: "no Sidecar holds any more: every host that is exported to it may be reached" }];
  const [was, is] = [(old.spec ?? {}) as SidecarFields, (now.spec ?? {}) as SidecarFields];
  const mode = (fields: SidecarFields, mesh: Mesh): string =>
    fields.outboundTrafficPolicy?.mode ?? mesh.config.outboundTrafficPolicy;
  const isTighter =
    mode(is, after.mesh) === "REGISTRY_ONLY" || mode(is, after.mesh) === mode(was, before.mesh);
  const hosts = (fields: SidecarFields) => fields.egress?.flatMap((listener) => listener.hosts ?? []);
  if (isTighter && hosts(is) !== undefined && isWithin(hosts(is), hosts(was) ?? [])) return [];
  return [{ resource, why: "it may reach more outward than before" }];
}

function sidecarOf({ mesh, workload }: Pair["before"]): Resource | undefined {
  return selectSidecar(mesh, workload.namespace, workload.labels);
}

function isSameSpec(before: Resource, after: Resource | undefined): boolean {
  return JSON.stringify(before.spec) === JSON.stringify(after?.spec);
}

/** Settings of the whole mesh that every proxy decides by. */
function meshGrowths({ config: before }: Mesh, { config: after }: Mesh): readonly Growth[] {
  const resource = `MeshConfig ${after.rootNamespace}`;
  const growths: Growth[] = [];
  if (before.outboundTrafficPolicy === "REGISTRY_ONLY" && after.outboundTrafficPolicy !== "REGISTRY_ONLY")
    growths.push({ resource, why: "hosts that nobody registered may be reached (outboundTrafficPolicy)" });
  if (before.pathNormalization !== after.pathNormalization)
    growths.push({
      resource,
      why: `paths are read otherwise by every rule (pathNormalization was ${before.pathNormalization} and is ${after.pathNormalization})`,
    });
  const aliases = after.trustDomainAliases.filter((alias) => !before.trustDomainAliases.includes(alias));
  if (aliases.length > 0)
    growths.push({ resource, why: `identities of ${aliases.join(", ")} count as this mesh's own` });
  if (after.numTrustedProxies > before.numTrustedProxies)
    growths.push({ resource, why: "addresses that callers claim are trusted further (numTrustedProxies)" });
  if (JSON.stringify(before.extensionProviders) !== JSON.stringify(after.extensionProviders))
    growths.push({ resource, why: "external authorizers are asked otherwise (extensionProviders)" });
  if (before.rootNamespace !== after.rootNamespace)
    growths.push({ resource, why: `policies for all are read from ${after.rootNamespace} instead` });
  return growths;
}
