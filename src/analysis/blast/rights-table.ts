/** The rights of Kubernetes that lead on to something else: one row for each way to have one. What each yields stands in account-gains.ts. */

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
  | "label-namespaces"
  | "relabel-pods"
  | "write-secrets"
  | "write-api-services"
  | "write-definitions"
  | "delete-definitions"
  | "stop-injection"
  | "make-volumes"
  | "steer-pods"
  | "steer-services"
  | "steer-mesh"
  | "gateway-identities"
  | "proxy-to-pods";

export interface RightRow {
  readonly kind: RightKind;
  /** All of these are needed; each is one of several verbs on one of several resources of a group. */
  readonly needs: readonly Need[];
  readonly text: string;
}

export interface Need {
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
const API_SERVICES = "apiregistration.k8s.io";
const DEFINITIONS = "apiextensions.k8s.io";
const NETWORKING = "networking.istio.io";
const GATEWAY_API = "gateway.networking.k8s.io";
const MAKERS = "write what makes pods";

/**
 * @see https://kubernetes.io/docs/concepts/security/rbac-good-practices/#privilege-escalation-risks
 */
export const RIGHTS: readonly RightRow[] = [
  row("cluster-admin", "do everything", [["*"], "*", ["*"], true]),
  row("read-secrets", "read Secrets", [["get", "list", "watch"], "", ["secrets"]]),
  row("exec", "run commands in pods", [["create", "get"], "", ["pods/exec", "pods/attach"]]),
  row("exec", "add a container to running pods", [["update", "patch"], "", ["pods/ephemeralcontainers"]]),
  row("change-pods", "change the image of running pods", [["update", "patch"], "", ["pods"]]),
  row("create-pods", "create pods", [["create"], "", ["pods"]]),
  row("create-pods", MAKERS, [WRITE, "apps", ["deployments", "daemonsets", "statefulsets", "replicasets"]]),
  row("create-pods", MAKERS, [WRITE, "batch", ["jobs", "cronjobs"]]),
  row("create-pods", MAKERS, [WRITE, "", ["replicationcontrollers"]]),
  row("create-pods", MAKERS, [WRITE, "argoproj.io", ["rollouts", "workflows", "cronworkflows"]]),
  row("create-pods", MAKERS, [WRITE, "apps.kruise.io", ["clonesets", "statefulsets", "daemonsets"]]),
  row("create-pods", MAKERS, [WRITE, "apps.openshift.io", ["deploymentconfigs"]]),
  // istiod makes the gateway's pods, with what the ConfigMap of `spec.infrastructure.parametersRef` lays over their Deployment.
  row(
    "create-pods",
    "write Gateways that istiod makes pods for, and ConfigMaps that change these",
    [WRITE, GATEWAY_API, ["gateways"]],
    [WRITE, "", ["configmaps"]],
  ),
  row("mint-tokens", "ask for tokens of accounts", [["create"], "", ["serviceaccounts/token"]]),
  // Kubernetes fills a Secret of type kubernetes.io/service-account-token with a token of the account that it names.
  row(
    "mint-tokens",
    "make Secrets that are filled with tokens of accounts, and read them",
    [["create"], "", ["secrets"]],
    [["get", "list", "watch"], "", ["secrets"]],
  ),
  row("write-secrets", "write Secrets", [WRITE, "", ["secrets"]]),
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
  row("stop-injection", "have pods made without a sidecar, by removing the injector's webhook", [
    ["delete", "deletecollection"],
    WEBHOOKS,
    ["mutatingwebhookconfigurations"],
    true,
  ]),
  // The API server then asks the attacker's own server for the whole group, and believes it, also about roles.
  row("write-api-services", "take over a group of the API (APIService)", [
    ["update", "patch"],
    API_SERVICES,
    ["apiservices"],
    true,
  ]),
  row(
    "write-api-services",
    "take over a group of the API (APIService), by making it anew",
    [["create"], API_SERVICES, ["apiservices"], true],
    [["delete", "deletecollection"], API_SERVICES, ["apiservices"], true],
  ),
  row("write-definitions", "have custom resources converted by its own webhook", [
    ["update", "patch"],
    DEFINITIONS,
    ["customresourcedefinitions"],
    true,
  ]),
  row("delete-definitions", "delete custom resources with their definition", [
    ["delete", "deletecollection"],
    DEFINITIONS,
    ["customresourcedefinitions"],
    true,
  ]),
  row("make-volumes", "make volumes of nodes' folders", [["create"], "", ["persistentvolumes"], true]),
  row("steer-pods", "drive pods from node to node (labels, taints, conditions)", [
    ["update", "patch"],
    "",
    ["nodes", "nodes/status"],
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
  row("write-proxies", "put code and settings into proxies", [WRITE, NETWORKING, ["envoyfilters"]]),
  // `environmentVariables`: another CA, another control plane.
  row("write-proxies", "set the environment of proxies that are made anew", [
    WRITE,
    NETWORKING,
    ["proxyconfigs"],
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
  row("proxy-to-pods", "send requests to pods through the API server", [
    ["get", "create", "update", "patch", "delete"],
    "",
    ["pods/proxy", "services/proxy"],
  ]),
  // Labels may be written with the status; what selects by labels then selects otherwise.
  row("relabel-pods", "change running pods' labels and addresses", [
    ["update", "patch"],
    "",
    ["pods/status"],
  ]),
  row("steer-services", "have Services lead to its own pod", [WRITE, "", ["services", "endpoints"]]),
  row("steer-services", "have Services lead to its own pod", [WRITE, "discovery.k8s.io", ["endpointslices"]]),
  // Of all namespaces' hosts, as `exportTo` says everybody where nothing is said.
  row("steer-mesh", "have the mesh's proxies send hosts of any namespace to its own pod", [
    WRITE,
    NETWORKING,
    ["virtualservices", "serviceentries"],
  ]),
  row("steer-services", "have the namespace's proxies, or what calls its Services, send to its own pod", [
    WRITE,
    NETWORKING,
    ["workloadentries", "sidecars"],
  ]),
  row("steer-services", "have what calls the namespace's Services sent to its own pod", [
    WRITE,
    GATEWAY_API,
    ["httproutes", "grpcroutes", "tlsroutes", "tcproutes"],
  ]),
  // The annotation gateway.istio.io/service-account names the account of the pods that istiod makes.
  row(
    "gateway-identities",
    "have a gateway run as any account, and send what its routes say",
    [WRITE, GATEWAY_API, ["gateways"]],
    [WRITE, GATEWAY_API, ["httproutes", "grpcroutes", "tlsroutes", "tcproutes"]],
  ),
  row("label-namespaces", "change a namespace's labels (Pod Security, injection, data plane)", [
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

function row(kind: RightKind, text: string, ...needs: readonly WrittenNeed[]): RightRow {
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
