/** What every binding of RBAC gives, and to which subjects that are not the cluster's own. */
import type { Resource } from "../../../resources/resource.ts";
import { type Grant, Rbac } from "../../blast/rbac.ts";
import { type Right, type RightKind, rightsOf } from "../../blast/rbac-rights.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import { fieldsOf, itemsOf, textOf } from "./written.ts";

export interface RbacSubject {
  readonly kind: string;
  readonly name: string;
  /** Of service accounts. */
  readonly namespace: string;
}

export interface BoundRights {
  readonly binding: Resource;
  /** All of them. */
  readonly subjects: readonly RbacSubject[];
  /** Those that a rule may speak of: neither Kubernetes' own nor Istio's control plane. */
  readonly others: readonly RbacSubject[];
  readonly grants: readonly Grant[];
  readonly rights: readonly Right[];
}

const GROUP = "rbac.authorization.k8s.io";
export const ANONYMOUS: ReadonlySet<string> = new Set(["system:anonymous", "system:unauthenticated"]);
/** Every account of the cluster is in these. */
export const EVERYBODY = /^system:(authenticated|serviceaccounts(:.*)?)$/;
const ISTIOS_ACCOUNTS = /^(istiod|istio-reader|istio-cni|ztunnel|istio-operator|istio-pilot)/;

export function boundRights(audit: AuditContext): readonly BoundRights[] {
  const rbac = new Rbac(audit.mesh.resources);
  const bindings = [...audit.of(GROUP, "ClusterRoleBinding"), ...audit.of(GROUP, "RoleBinding")];
  return bindings.map((binding) => {
    const subjects = subjectsOf(binding);
    const grants = rbac.grantsBy(binding);
    return {
      binding,
      subjects,
      others: subjects.filter((subject) => !isClustersOwn(subject, audit.mesh.config.rootNamespace)),
      grants,
      rights: rightsOf(grants),
    };
  });
}

function subjectsOf({ body, namespace: own }: Resource): readonly RbacSubject[] {
  return [...itemsOf(body.subjects)].map(([, { kind, name, namespace }]) => ({
    kind: textOf(kind),
    name: textOf(name),
    namespace: textOf(namespace) || own,
  }));
}

/** Groups of everybody and of nobody are not the cluster's own to give rights to: rules of their own speak of them. */
function isClustersOwn({ kind, name, namespace }: RbacSubject, rootNamespace: string): boolean {
  if (kind === "ServiceAccount")
    return namespace.startsWith("kube-") || (namespace === rootNamespace && ISTIOS_ACCOUNTS.test(name));
  return name.startsWith("system:") && !ANONYMOUS.has(name) && !EVERYBODY.test(name);
}

/** Accounts that workloads run as, `namespace/name`. */
export function accountsOfWorkloads({ mesh }: AuditContext): ReadonlySet<string> {
  return new Set(mesh.workloads.map(({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`));
}

const NONE: ReadonlySet<string> = new Set();

/** Of a workload's account BW0870 tells these, where they hold in the whole cluster. */
export const RULING_RIGHTS: ReadonlySet<RightKind> = new Set<RightKind>([
  "cluster-admin",
  "impersonate-anybody",
  "impersonate-accounts",
  "grant-roles",
  "write-webhooks",
  "create-pods",
  "exec",
  "mint-tokens",
  "kubelet-api",
]);

/**
 * Groups that are told by rules of their own (BW0510, BW0511) are not among them.
 * @param right what is told; of workloads' accounts BW0870 tells some. Absent: one that it does not
 */
export function namedSubjects(
  audit: AuditContext,
  { others }: BoundRights,
  right?: Right,
): readonly RbacSubject[] {
  const isTold = right !== undefined && RULING_RIGHTS.has(right.kind) && right.scope.namespace === null;
  const workloads = isTold ? audit.fact(accountsOfWorkloads) : NONE;
  return others.filter(
    ({ kind, name, namespace }) =>
      !ANONYMOUS.has(name) &&
      !EVERYBODY.test(name) &&
      !(kind === "ServiceAccount" && workloads.has(`${namespace}/${name}`)),
  );
}

/**
 * One hit a binding that gives a right of these kinds in the whole cluster, or in the namespace of the control plane, whose Secrets
 * are the mesh's.
 */
export function* hitsOfRights(audit: AuditContext, kinds: readonly RightKind[]): Iterable<Hit> {
  const root = audit.mesh.config.rootNamespace;
  for (const bound of audit.fact(boundRights)) {
    const right = bound.rights.find(
      ({ kind, scope }) =>
        kinds.includes(kind) &&
        scope.names.length === 0 &&
        (scope.namespace === null || scope.namespace === root),
    );
    if (right === undefined) continue;
    const subjects = namedSubjects(audit, bound, right);
    if (subjects.length === 0) continue;
    const where = right.scope.namespace === null ? "the whole cluster" : `\`${root}\``;
    yield {
      resource: bound.binding,
      path: ["roleRef"],
      title: `${subjectsText(subjects)} may ${right.text} in ${where}, by ${ruleText(right.grants[0])}`,
    };
  }
}

export function subjectsText(subjects: readonly RbacSubject[]): string {
  const names = subjects.map(({ kind, name, namespace }) =>
    kind === "ServiceAccount" ? `account \`${namespace}/${name}\`` : `${kind.toLowerCase()} \`${name}\``,
  );
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

function ruleText({ role, binding, rule }: Grant): string {
  return role === null
    ? `the built-in role \`${textOf(fieldsOf(binding.body.roleRef).name)}\``
    : `rule ${rule + 1} of ${role.kind} \`${role.name}\``;
}
