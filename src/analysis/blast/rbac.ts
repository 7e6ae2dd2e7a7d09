/**
 * Kubernetes RBAC, read from files: which rules hold for a service account, by which binding. Roles only ever add.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/rbac/
 */
import { compileLabelSelector, type LabelMatcher } from "../../policy/network/label-matcher.ts";
import type { Resource } from "../../resources/resource.ts";
import { apiGroup } from "../../resources/scope.ts";

const GROUP = "rbac.authorization.k8s.io";

/** One rule of a role, as one binding gives it to somebody. */
export interface Grant {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  /** `pods`, `pods/exec`, `*`. */
  readonly resources: readonly string[];
  /** Empty: every object. */
  readonly resourceNames: readonly string[];
  readonly nonResourceUrls: readonly string[];
  /** The only namespace that it holds in; null: all, and what has none. */
  readonly namespace: string | null;
  /** Who says so: the binding, and the rule in the role (null: a role that no file has, known by its name alone). */
  readonly binding: Resource;
  readonly role: Resource | null;
  /** Index in the role's rules. */
  readonly rule: number;
}

interface RuleShape {
  readonly verbs?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

interface SubjectShape {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** A rule and the role that it stands in: of an aggregated role another one. */
interface OwnedRule {
  readonly rule: RuleShape;
  readonly role: Resource | null;
  readonly index: number;
}

/** @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-requests */
const NOBODY: readonly string[] = ["Group system:unauthenticated", "User system:anonymous"];

/** Who has what, asked by service account. */
export class Rbac {
  readonly #roles = new Map<string, Resource>();
  readonly #clusterRoles: readonly Resource[];
  readonly #bySubject = new Map<string, Resource[]>();
  readonly #rules = new Map<string, readonly OwnedRule[]>();
  readonly #known = new Map<string, readonly Grant[]>();

  constructor(resources: readonly Resource[]) {
    const own = resources.filter(({ apiVersion }) => apiGroup(apiVersion) === GROUP);
    for (const role of own)
      if (role.kind === "Role" || role.kind === "ClusterRole") this.#roles.set(roleKey(role), role);
    this.#clusterRoles = own.filter(({ kind }) => kind === "ClusterRole");
    for (const binding of own)
      if (binding.kind === "RoleBinding" || binding.kind === "ClusterRoleBinding")
        for (const subject of subjectsOf(binding)) this.#add(subjectKey(subject, binding), binding);
  }

  /** Everything that the account may, by its own name and by the groups that every account is in. */
  grantsOf(namespace: string, account: string): readonly Grant[] {
    return this.#grantsTo([
      `ServiceAccount ${namespace}/${account}`,
      `User system:serviceaccount:${namespace}:${account}`,
      "Group system:serviceaccounts",
      `Group system:serviceaccounts:${namespace}`,
      "Group system:authenticated",
      // Nobody has to show a token.
      ...NOBODY,
    ]);
  }

  /** Everything that is given to whoever shows no token at all. */
  grantsOfNobody(): readonly Grant[] {
    return this.#grantsTo(NOBODY);
  }

  #grantsTo(subjects: readonly string[]): readonly Grant[] {
    const bindings = [...new Set(subjects.flatMap((subject) => this.#bySubject.get(subject) ?? []))];
    const key = bindings.map(({ kind, namespace: own, name }) => `${kind} ${own}/${name}`).join();
    let grants = this.#known.get(key);
    if (grants === undefined) {
      grants = bindings.flatMap((binding) => this.grantsBy(binding));
      this.#known.set(key, grants);
    }
    return grants;
  }

  /** What a binding gives to each of its subjects. */
  grantsBy(binding: Resource): readonly Grant[] {
    const { kind = "", name = "" } = roleRefOf(binding);
    const isCluster = binding.kind === "ClusterRoleBinding";
    const namespace = isCluster ? null : binding.namespace;
    const key = kind === "ClusterRole" ? `ClusterRole ${name}` : `Role ${binding.namespace}/${name}`;
    return this.#rulesOf(key).map(({ rule, role, index }) => ({
      verbs: rule.verbs ?? [],
      apiGroups: rule.apiGroups ?? [],
      resources: rule.resources ?? [],
      resourceNames: rule.resourceNames ?? [],
      nonResourceUrls: rule.nonResourceURLs ?? [],
      namespace,
      binding,
      role,
      rule: index,
    }));
  }

  #add(key: string, binding: Resource): void {
    const list = this.#bySubject.get(key);
    if (list === undefined) this.#bySubject.set(key, [binding]);
    else if (!list.includes(binding)) list.push(binding);
  }

  #rulesOf(key: string): readonly OwnedRule[] {
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    const role = this.#roles.get(key);
    const rules = role === undefined ? this.#builtIn(key) : this.#rulesIn(role);
    this.#rules.set(key, rules);
    return rules;
  }

  /** The controller writes the rules of the roles that are selected over an aggregated role's own. */
  #rulesIn(role: Resource): readonly OwnedRule[] {
    const selectors = aggregationOf(role);
    if (selectors.length === 0) return ownRules(role);
    return [...ownRules(role), ...this.#selectedRules(selectors, role)];
  }

  #selectedRules(selectors: readonly LabelMatcher[], role?: Resource): readonly OwnedRule[] {
    return this.#clusterRoles
      .filter((other) => other !== role && selectors.some((own) => own.matches(other.labels)))
      .flatMap(ownRules);
  }

  /** A role that every cluster has: its own rules, and those of the roles that are labelled for it. */
  #builtIn(key: string): readonly OwnedRule[] {
    const [kind, name = ""] = key.split(" ");
    if (kind !== "ClusterRole") return [];
    const own = (BUILT_IN.get(name) ?? []).map((rule, index) => ({ rule, role: null, index }));
    const labels = (AGGREGATED.get(name) ?? []).map((to) =>
      compileLabelSelector({ matchLabels: { [`${GROUP}/aggregate-to-${to}`]: "true" } }),
    );
    return [...own, ...this.#selectedRules(labels)];
  }
}

function roleKey({ kind, namespace, name }: Resource): string {
  return kind === "ClusterRole" ? `ClusterRole ${name}` : `Role ${namespace}/${name}`;
}

function subjectKey({ kind, name = "", namespace }: SubjectShape, binding: Resource): string {
  return kind === "ServiceAccount"
    ? `ServiceAccount ${namespace ?? binding.namespace}/${name}`
    : `${kind ?? ""} ${name}`;
}

function subjectsOf({ body }: Resource): readonly SubjectShape[] {
  return Array.isArray(body.subjects) ? body.subjects.filter(isObject) : [];
}

function roleRefOf({ body }: Resource): { readonly kind?: string; readonly name?: string } {
  return isObject(body.roleRef) ? body.roleRef : {};
}

function ownRules(role: Resource): readonly OwnedRule[] {
  const rules: readonly unknown[] = Array.isArray(role.body.rules) ? role.body.rules : [];
  return rules.flatMap((rule, index) => (isObject(rule) ? [{ rule: rule as RuleShape, role, index }] : []));
}

/** Of the roles that it takes the rules of. */
function aggregationOf({ body }: Resource): readonly LabelMatcher[] {
  const { clusterRoleSelectors } = isObject(body.aggregationRule)
    ? (body.aggregationRule as { clusterRoleSelectors?: unknown })
    : {};
  if (!Array.isArray(clusterRoleSelectors)) return [];
  return clusterRoleSelectors.filter(isObject).map(compileLabelSelector);
}

function isObject(value: unknown): value is Record<string, never> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const EVERY_VERB: RuleShape = { verbs: ["*"] };

/** Every cluster has these; files rarely do. Of `admin` and `edit` what a compromise makes use of. */
const BUILT_IN: ReadonlyMap<string, readonly RuleShape[]> = new Map([
  [
    "cluster-admin",
    [
      { ...EVERY_VERB, apiGroups: ["*"], resources: ["*"] },
      { ...EVERY_VERB, nonResourceURLs: ["*"] },
    ],
  ],
  ["admin", [...editRules(), { ...EVERY_VERB, apiGroups: [GROUP], resources: ["roles", "rolebindings"] }]],
  ["edit", editRules()],
  ["view", []],
]);

/** @see plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go of kubernetes/kubernetes */
function editRules(): readonly RuleShape[] {
  const write = ["create", "delete", "deletecollection", "patch", "update"];
  return [
    { verbs: ["get", "list", "watch", ...write], apiGroups: [""], resources: ["secrets"] },
    {
      verbs: ["get", ...write],
      apiGroups: [""],
      resources: ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"],
    },
    { verbs: write, apiGroups: [""], resources: ["services", "configmaps"] },
    { verbs: ["impersonate"], apiGroups: [""], resources: ["serviceaccounts"] },
    { verbs: ["create"], apiGroups: [""], resources: ["serviceaccounts/token"] },
    { verbs: write, apiGroups: [""], resources: ["pods", "replicationcontrollers"] },
    {
      verbs: write,
      apiGroups: ["apps"],
      resources: ["daemonsets", "deployments", "replicasets", "statefulsets"],
    },
    { verbs: write, apiGroups: ["batch"], resources: ["cronjobs", "jobs"] },
    { verbs: write, apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"] },
  ];
}

/** What is labelled for one of them is for those that take it over, too: `view` is labelled for `edit`, and that for `admin`. */
const AGGREGATED: ReadonlyMap<string, readonly string[]> = new Map([
  ["admin", ["admin", "edit", "view"]],
  ["edit", ["edit", "view"]],
  ["view", ["view"]],
]);
