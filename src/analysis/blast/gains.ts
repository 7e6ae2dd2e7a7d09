/**
 * What each holding yields at once, with the reason: the table of compromises, and Kubernetes RBAC. A holding yields another when whoever has
 * the one needs nobody's leave for the other. Worst case: code execution in a component is that of its containers' root.
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { FieldPath, Resource } from "../../resources/resource.ts";
import { accountGains } from "./account-gains.ts";
import {
  API_SERVER,
  CA,
  CA_SECRETS,
  componentOf,
  EVERY_NODE,
  EVERYWHERE,
  type HoldingId,
  ISTIOD,
  kindOf,
  NOBODYS_ACCOUNT,
  namesOf,
  partOf,
  restOf,
  SOME_NODE,
  type WorkloadPart,
} from "./component.ts";
import { gatewaySecrets } from "./gateway-secrets.ts";
import { agentGains, kubeletGains, nodeGains, ztunnelGains } from "./node-gains.ts";
import { NodePlacement } from "./placement.ts";
import { accountsOf, type PodFact, podFacts } from "./pod-facts.ts";
import { Rbac } from "./rbac.ts";
import { type Right, rightsOf } from "./rbac-rights.ts";

/** A place in a file that is a reason. */
export interface Evidence {
  readonly resource: Resource;
  readonly path: FieldPath;
}

export interface Gain {
  readonly to: HoldingId;
  /** For a person, one line. */
  readonly why: string;
  readonly evidence: readonly Evidence[];
  /** Where a right of RBAC is the reason: what could be taken away. */
  readonly right?: Right;
}

/** What is looked up again and again. */
export class GainGraph {
  readonly mesh: Mesh;
  readonly rbac: Rbac;
  readonly placement: NodePlacement;
  readonly parts: ReadonlyMap<Workload, WorkloadPart>;
  readonly byKey: ReadonlyMap<string, Workload>;
  readonly byNamespace: ReadonlyMap<string, readonly Workload[]>;
  readonly hasAmbient: boolean;
  /** The mesh's root namespace, and those that an istiod runs in: there are its Secrets, its settings and its account. */
  readonly controlNamespaces: ReadonlySet<string>;
  readonly #secrets: ReadonlyMap<string, readonly Resource[]>;
  readonly #accounts: ReadonlyMap<string, readonly string[]>;
  readonly #istiodAccounts: ReadonlyMap<string, Workload>;
  readonly #gains = new Map<HoldingId, readonly Gain[]>();

  constructor(mesh: Mesh) {
    this.mesh = mesh;
    this.hasAmbient = mesh.workloads.some(({ dataplane }) => dataplane === "ambient");
    this.rbac = new Rbac(mesh.resources);
    this.placement = new NodePlacement(mesh);
    this.parts = new Map(mesh.workloads.map((workload) => [workload, partOf(mesh, workload)]));
    this.byKey = new Map(mesh.workloads.map((workload) => [workload.key, workload]));
    this.byNamespace = grouped(mesh.workloads, ({ namespace }) => namespace);
    const istiods = mesh.workloads.filter((workload) => this.parts.get(workload) === "istiod");
    this.controlNamespaces = new Set([
      mesh.config.rootNamespace,
      ...istiods.map(({ namespace }) => namespace),
    ]);
    this.#istiodAccounts = new Map(
      istiods.map((istiod) => [`${istiod.namespace}/${istiod.serviceAccount}`, istiod]),
    );
    const secrets = mesh.resources.filter(({ kind, apiVersion }) => kind === "Secret" && apiVersion === "v1");
    this.#secrets = grouped(secrets, ({ namespace }) => namespace);
    this.#accounts = accountNames(mesh);
  }

  gainsOf(id: HoldingId): readonly Gain[] {
    let gains = this.#gains.get(id);
    if (gains === undefined) {
      gains = this.#find(id).filter(({ to }) => to !== id);
      this.#gains.set(id, gains);
    }
    return gains;
  }

  /** Names of the namespace's accounts that files have, or that workloads run under; and the one that every namespace has. */
  accountsIn(namespace: string): readonly string[] {
    return this.#accounts.get(namespace) ?? [];
  }

  secretsIn(namespace: string): readonly Resource[] {
    return this.#secrets.get(namespace) ?? [];
  }

  keyOf(namespace: string, account: string): HoldingId {
    return `key/${this.mesh.config.trustDomain}/ns/${namespace}/sa/${account}`;
  }

  /** The component that a workload is; for ztunnels and CNI agents those of its nodes. */
  componentsOf(workload: Workload): readonly HoldingId[] {
    const part = this.parts.get(workload) ?? "application";
    const own = componentOf(part, workload);
    return own === undefined ? this.placement.of(workload).nodes.map((node) => `${part}/${node}`) : [own];
  }

  #find(id: HoldingId): readonly Gain[] {
    const own = this.byKey.get(restOf(id));
    switch (kindOf(id)) {
      case "workload":
        return own === undefined ? [] : this.#ofPod(own);
      case "sidecar":
        return own === undefined
          ? []
          : [...this.#keyOfProxy(own), ...this.tokenOf(own), ...this.#withoutToken(own)];
      case "waypoint":
      case "gateway":
        return own === undefined ? [] : [...this.#ofPod(own), ...gatewaySecrets(this.mesh, own)];
      case "token":
        return this.#ofToken(id);
      case "account":
        return [...this.#ofIstiodsAccount(restOf(id)), ...accountGains(this, id)];
      case "secret":
        return this.#ofSecret(id);
      case "secrets":
        return this.#ofSecrets(restOf(id));
      case "pods":
        return this.#ofNewPods(restOf(id));
      case "proxies":
        return this.#ofProxies(restOf(id));
      case "labels":
        return this.#ofLabels(restOf(id));
      case "node":
        return nodeGains(this, id);
      case "kubelet":
        return kubeletGains(this, restOf(id));
      case "ztunnel":
        return ztunnelGains(this, restOf(id));
      case "cni":
        return agentGains(this, "cni", restOf(id));
      case ISTIOD:
        return ISTIOD_GAINS;
      default:
        return [];
    }
  }

  #ofPod(workload: Workload): readonly Gain[] {
    const { secrets, toNode, caToken } = podFacts(this.mesh, workload);
    const places = this.placement.of(workload);
    const nodes = places.nodes.length === 0 ? [SOME_NODE] : places.nodes.map((node) => `node/${node}`);
    return [
      ...this.#keyOfProxy(workload),
      ...this.tokenOf(workload),
      ...this.#withoutToken(workload),
      ...(caToken === undefined ? [] : [this.#keyByToken(workload, caToken)]),
      ...secrets.map(({ name, text, ...evidence }) => ({
        to: `secret/${workload.namespace}/${name}`,
        why: text,
        evidence: [evidence],
      })),
      ...toNode.flatMap(({ text, ...evidence }) =>
        nodes.map((to) => ({ to, why: text, evidence: [evidence] })),
      ),
    ];
  }

  /** In ambient mode the key is in the node's ztunnel. */
  #keyOfProxy(workload: Workload): readonly Gain[] {
    const { namespace, serviceAccount, resource, kind } = workload;
    const part = this.parts.get(workload);
    if (workload.dataplane !== "sidecar" && part !== "waypoint") return [];
    const why =
      kind === "WorkloadEntry"
        ? "the machine's proxy has the key"
        : "its proxy is in the pod, with the key in its memory and a token for the CA beside it";
    return [{ to: this.keyOf(namespace, serviceAccount), why, evidence: [{ resource, path: [] }] }];
  }

  /** The CA signs for who shows it, in ambient mode too. */
  #keyByToken({ namespace, serviceAccount }: Workload, { text, ...evidence }: PodFact): Gain {
    return { to: this.keyOf(namespace, serviceAccount), why: text, evidence: [evidence] };
  }

  /** What the API server gives to whoever asks. With a token the account's rights have it already. */
  #withoutToken(workload: Workload): readonly Gain[] {
    if (podFacts(this.mesh, workload).token !== undefined) return [];
    if (rightsOf(this.rbac.grantsOfNobody()).length === 0) return [];
    return [{ to: NOBODYS_ACCOUNT, why: "the API server gives rights to who shows no token", evidence: [] }];
  }

  /** The token for the API server that is in its pods. */
  tokenOf(workload: Workload): readonly Gain[] {
    const { token } = podFacts(this.mesh, workload);
    if (token === undefined) return [];
    const { text, ...evidence } = token;
    return [
      { to: `token/${workload.namespace}/${workload.serviceAccount}`, why: text, evidence: [evidence] },
    ];
  }

  /** Files rarely have the roles that Istio's charts give it. */
  #ofIstiodsAccount(name: string): readonly Gain[] {
    const istiod = this.#istiodAccounts.get(name);
    if (istiod === undefined) return [];
    const evidence = [{ resource: istiod.resource, path: [] }];
    return [{ to: ISTIOD, why: "it is istiod's account: its rights are what istiod has", evidence }];
  }

  #ofToken(id: HoldingId): readonly Gain[] {
    const [namespace, account] = namesOf(id);
    const resource = accountsOf(this.mesh).get(`${namespace}/${account}`);
    const evidence = resource === undefined ? [] : [{ resource, path: [] }];
    return [
      {
        to: `account/${namespace}/${account}`,
        why: "the API server takes its holder for the account",
        evidence,
      },
      {
        to: this.keyOf(namespace, account),
        why: "the CA gives who shows it a certificate of the account",
        evidence,
      },
    ];
  }

  #ofSecret(id: HoldingId): readonly Gain[] {
    const [namespace, name] = namesOf(id);
    const resource = this.secretsIn(namespace).find((secret) => secret.name === name);
    const evidence = resource === undefined ? [] : [{ resource, path: ["data"] }];
    if (this.controlNamespaces.has(namespace) && CA_SECRETS.has(name))
      return [{ to: CA, why: "it holds the key of the mesh's CA", evidence }];
    const account = resource?.annotations["kubernetes.io/service-account.name"];
    if (resource?.body.type !== "kubernetes.io/service-account-token" || account === undefined) return [];
    return [{ to: `token/${namespace}/${account}`, why: "it is a token that never ends", evidence }];
  }

  /** All Secrets of a namespace, those besides that no file has. */
  #ofSecrets(namespace: string): readonly Gain[] {
    if (namespace === "*")
      return [{ to: CA, why: "the CA's key is a Secret of istiod's namespace", evidence: [] }];
    const known = this.secretsIn(namespace).map(
      (resource): Gain => ({
        to: `secret/${namespace}/${resource.name}`,
        why: "it is a Secret of the namespace",
        evidence: [{ resource, path: [] }],
      }),
    );
    if (!this.controlNamespaces.has(namespace)) return known;
    return [...known, { to: CA, why: "the CA's key is a Secret of this namespace", evidence: [] }];
  }

  /** Whoever may make pods in a namespace has its accounts and Secrets, and where nothing forbids privileged pods every node. */
  #ofNewPods(namespace: string): readonly Gain[] {
    const labels = this.mesh.namespaces.get(namespace)?.labels ?? {};
    const level = labels["pod-security.kubernetes.io/enforce"];
    const free = level === undefined || level === "privileged";
    return [
      ...this.accountsIn(namespace).map((account) => ({
        to: `token/${namespace}/${account}`,
        why: "a pod runs under any account of its namespace",
        evidence: [],
      })),
      {
        to: `secrets/${namespace}`,
        why: "a pod mounts any Secret of its namespace",
        evidence: [],
      },
      ...(free
        ? [
            {
              to: EVERY_NODE,
              why: `nothing keeps privileged pods out of the namespace (pod-security.kubernetes.io/enforce: ${level ?? "unset"})`,
              evidence: this.#namespaceEvidence(namespace),
            },
          ]
        : []),
    ];
  }

  #namespaceEvidence(namespace: string): readonly Evidence[] {
    const resource = this.mesh.resources.find(
      ({ kind, apiVersion, name }) => kind === "Namespace" && apiVersion === "v1" && name === namespace,
    );
    return resource === undefined ? [] : [{ resource, path: ["metadata"] }];
  }

  /** Labels of the mesh's data plane, of injection and of the waypoint say which policies hold for the namespace's pods. */
  #ofLabels(namespace: string): readonly Gain[] {
    const { rootNamespace, discoverySelectors } = this.mesh.config;
    // What istiod does not look at any more counts nowhere.
    const isAll = namespace === rootNamespace && discoverySelectors.length > 0;
    const why =
      "without the labels of the mesh its pods leave it, those behind a sidecar once they are made anew";
    return [
      { to: `policies/${isAll ? EVERYWHERE : namespace}`, why, evidence: this.#namespaceEvidence(namespace) },
    ];
  }

  #ofProxies(namespace: string): readonly Gain[] {
    const isWide = namespace === "*" || namespace === this.mesh.config.rootNamespace;
    const there = isWide ? this.mesh.workloads : (this.byNamespace.get(namespace) ?? []);
    return there.flatMap((workload) => {
      const part = this.parts.get(workload) ?? "application";
      if (part === "waypoint" || part === "gateway")
        return [{ to: `${part}/${workload.key}`, why: IN_PROXY, evidence: [] }];
      return part === "application" && workload.dataplane === "sidecar"
        ? [{ to: `sidecar/${workload.key}`, why: IN_PROXY, evidence: [] }]
        : [];
    });
  }
}

const IN_PROXY = "its settings put code of the attacker's into the proxy";
const ISTIOD_GAINS: readonly Gain[] = [
  { to: CA, why: "it signs every certificate of the mesh", evidence: [] },
  { to: "proxies/*", why: "it configures every proxy", evidence: [] },
  {
    to: API_SERVER,
    why: "its rights on Secrets, webhooks and the CA's certificates amount to it",
    evidence: [],
  },
];

function accountNames(mesh: Mesh): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, Set<string>>();
  const add = (namespace: string, account: string): void => {
    const known = names.get(namespace);
    if (known === undefined) names.set(namespace, new Set([account]));
    else known.add(account);
  };
  for (const { namespace, name } of accountsOf(mesh).values()) add(namespace, name);
  for (const { namespace, serviceAccount, kind } of mesh.workloads)
    if (kind !== "WorkloadEntry") add(namespace, serviceAccount);
  // Kubernetes makes it, in every namespace.
  for (const namespace of mesh.namespaces.keys()) add(namespace, "default");
  return new Map([...names].map(([namespace, own]) => [namespace, [...own].sort()]));
}

function grouped<T>(all: readonly T[], keyOf: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const group = groups.get(keyOf(one));
    if (group === undefined) groups.set(keyOf(one), [one]);
    else group.push(one);
  }
  return groups;
}
