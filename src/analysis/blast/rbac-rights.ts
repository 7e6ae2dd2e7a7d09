/** What rules of RBAC come to for an attacker: each right that leads on to something else, one row of a table each. */
import type { Grant } from "./rbac.ts";

/** Where a right holds. `names` empty: every object. */
export interface Scope {
  /** Null: the whole cluster. */
  readonly namespace: string | null;
  readonly names: readonly string[];
}

export type RightKind =
  | "cluster-admin"
  | "read-secrets"
  | "exec"
  | "change-pods"
  | "create-pods"
  | "mint-tokens"
  | "impersonate-accounts"
  | "impersonate-anybody"
  | "grant-roles"
  | "write-webhooks"
  | "read-admitted"
  | "kubelet-api"
  | "approve-certificates"
  | "write-mesh-policies"
  | "write-proxies"
  | "write-mesh-config"
  | "write-network-policies"
  | "forward-ports"
  | "label-namespaces";

export interface Right {
  readonly kind: RightKind;
  readonly scope: Scope;
  /** The rules that give it together; the first is the one to take away. */
  readonly grants: readonly [Grant, ...Grant[]];
  /** For a person: `create pods`. */
  readonly text: string;
  /** Verbs and resources that the first of the grants is needed for. */
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
}

interface Row {
  readonly kind: RightKind;
  /** All of these are needed; each is one of several verbs on one of several resources of a group. */
  readonly needs: readonly Need[];
  readonly text: string;
}

interface Need {
  readonly verbs: readonly string[];
  readonly group: string;
  readonly resources: readonly string[];
  /** Held by rules of the whole cluster alone. */
  readonly clusterOnly?: true;
}

const WRITE: readonly string[] = ["create", "update", "patch"];
const CHANGE: readonly string[] = ["create", "update", "patch", "delete", "deletecollection"];
const RBAC = "rbac.authorization.k8s.io";
const CSR = "certificates.k8s.io";
const WEBHOOKS = "admissionregistration.k8s.io";

/**
 * @see https://kubernetes.io/docs/concepts/security/rbac-good-practices/#privilege-escalation-risks
 */
const TABLE: readonly Row[] = [
  row("cluster-admin", "do everything", [["*"], "*", ["*"], true]),
  row("read-secrets", "read Secrets", [["get", "list", "watch"], "", ["secrets"]]),
  row("exec", "run commands in pods", [["create", "get"], "", ["pods/exec", "pods/attach"]]),
  row("exec", "add a container to running pods", [["update", "patch"], "", ["pods/ephemeralcontainers"]]),
  row("change-pods", "change the image of running pods", [["update", "patch"], "", ["pods"]]),
  row("create-pods", "create pods", [["create"], "", ["pods"]]),
  row("create-pods", "write what makes pods", [
    WRITE,
    "apps",
    ["deployments", "daemonsets", "statefulsets", "replicasets"],
  ]),
  row("create-pods", "write what makes pods", [WRITE, "batch", ["jobs", "cronjobs"]]),
  row("create-pods", "write what makes pods", [WRITE, "", ["replicationcontrollers"]]),
  row("mint-tokens", "ask for tokens of accounts", [["create"], "", ["serviceaccounts/token"]]),
  // Kubernetes fills a Secret of type kubernetes.io/service-account-token with a token of the account that it names.
  row(
    "mint-tokens",
    "make Secrets that are filled with tokens of accounts, and read them",
    [["create"], "", ["secrets"]],
    [["get", "list", "watch"], "", ["secrets"]],
  ),
  row("impersonate-accounts", "act as other accounts", [["impersonate"], "", ["serviceaccounts"]]),
  row("impersonate-anybody", "act as any user or group", [["impersonate"], "", ["users", "groups"], true]),
  row(
    "grant-roles",
    "bind any role to anybody",
    [["bind"], RBAC, ["clusterroles"]],
    [["create", "update", "patch"], RBAC, ["clusterrolebindings", "rolebindings"]],
  ),
  row(
    "grant-roles",
    "bind any role of the namespace",
    [["bind"], RBAC, ["roles"]],
    [["create", "update", "patch"], RBAC, ["rolebindings"]],
  ),
  row(
    "grant-roles",
    "write rights into a role that it has itself",
    [["escalate"], RBAC, ["clusterroles", "roles"]],
    [["update", "patch"], RBAC, ["clusterroles", "roles"]],
  ),
  row("write-webhooks", "have every object changed as it is written", [
    WRITE,
    WEBHOOKS,
    ["mutatingwebhookconfigurations", "mutatingadmissionpolicies"],
    true,
  ]),
  row("read-admitted", "be shown every object as it is written", [
    WRITE,
    WEBHOOKS,
    ["validatingwebhookconfigurations"],
    true,
  ]),
  row("kubelet-api", "speak to kubelets, which run commands in every pod", [
    ["get", "create"],
    "",
    ["nodes/proxy"],
    true,
  ]),
  row(
    "approve-certificates",
    "have the API server's CA sign a certificate for any user",
    [["create"], CSR, ["certificatesigningrequests"], true],
    [["update", "patch"], CSR, ["certificatesigningrequests/approval"], true],
    [["approve"], CSR, ["signers"], true],
  ),
  row("write-mesh-policies", "change or remove the mesh's policies", [
    CHANGE,
    "security.istio.io",
    ["authorizationpolicies", "peerauthentications", "requestauthentications"],
  ]),
  row("write-proxies", "put code and settings into proxies", [
    WRITE,
    "networking.istio.io",
    ["envoyfilters"],
  ]),
  row("write-proxies", "put code into proxies", [WRITE, "extensions.istio.io", ["wasmplugins"]]),
  row("write-mesh-config", "change the mesh's own settings (a ConfigMap)", [
    ["update", "patch"],
    "",
    ["configmaps"],
  ]),
  row("write-network-policies", "change or remove network policies", [
    CHANGE,
    "networking.k8s.io",
    ["networkpolicies"],
  ]),
  row("forward-ports", "connect to pods' own ports, from inside of them", [
    ["create", "get"],
    "",
    ["pods/portforward"],
  ]),
  row("label-namespaces", "change a namespace's labels (Pod Security, injection)", [
    ["update", "patch"],
    "",
    ["namespaces"],
  ]),
];

type WrittenNeed = readonly [
  verbs: readonly string[],
  group: string,
  resources: readonly string[],
  clusterOnly?: true,
];

function row(kind: RightKind, text: string, ...needs: readonly WrittenNeed[]): Row {
  return {
    kind,
    text,
    needs: needs.map(([verbs, group, resources, clusterOnly]) => ({
      verbs,
      group,
      resources,
      ...(clusterOnly === undefined ? {} : { clusterOnly }),
    })),
  };
}

const KNOWN = new WeakMap<readonly Grant[], readonly Right[]>();

/** Each right once for each rule that gives it; equal lists of grants that are one object are read once. */
export function rightsOf(grants: readonly Grant[]): readonly Right[] {
  const known = KNOWN.get(grants);
  if (known !== undefined) return known;
  const made = TABLE.flatMap((own) => rightsByRow(own, grants));
  // Who is cluster-admin needs nothing else.
  const admin = made.find(({ kind, scope }) => kind === "cluster-admin" && scope.namespace === null);
  const rights = admin === undefined ? made : [admin];
  KNOWN.set(grants, rights);
  return rights;
}

function rightsByRow({ kind, needs, text }: Row, grants: readonly Grant[]): readonly Right[] {
  const [first, ...others] = needs;
  if (first === undefined) return [];
  return grants
    .filter((grant) => meets(grant, first))
    .flatMap((grant): Right[] => {
      const rest = others.map((need) =>
        grants.find(
          (other) => meets(other, need) && (other.namespace === null || other.namespace === grant.namespace),
        ),
      );
      const found = rest.filter((other) => other !== undefined);
      if (found.length < rest.length) return [];
      const { verbs, resources } = first;
      return [{ kind, scope: scopeOf(grant), grants: [grant, ...found], text, verbs, resources }];
    });
}

function scopeOf({ namespace, resourceNames }: Grant): Scope {
  return { namespace, names: resourceNames };
}

/** Whether one rule gives one of the verbs on one of the resources. */
function meets(grant: Grant, { verbs, group, resources, clusterOnly }: Need): boolean {
  if (clusterOnly === true && grant.namespace !== null) return false;
  if (group === "*") return all(grant.verbs) && all(grant.apiGroups) && all(grant.resources);
  return (
    (all(grant.apiGroups) || grant.apiGroups.includes(group)) &&
    (all(grant.verbs) || verbs.some((verb) => grant.verbs.includes(verb) && isUsable(verb, grant))) &&
    grant.resources.some((own) => resources.some((wanted) => covers(own, wanted)))
  );
}

/** Names are not known yet when something is created: such a rule gives nothing (but for subresources of what is there). */
function isUsable(verb: string, { resourceNames, resources }: Grant): boolean {
  return verb !== "create" || resourceNames.length === 0 || resources.some((own) => own.includes("/"));
}

function all(list: readonly string[]): boolean {
  return list.includes("*");
}

/** Of a resource's subresources only one by name, of any resource: a star, a slash and its name; a star behind the slash means nothing to RBAC. */
function covers(own: string, wanted: string): boolean {
  if (own === "*" || own === wanted) return true;
  const [, subresource] = wanted.split("/");
  return subresource !== undefined && own === `*/${subresource}`;
}
