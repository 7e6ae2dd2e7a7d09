/**
 * Which data plane stands before a pod: the rules of Istio's injection webhook, and of its CNI agent for ambient mode.
 * Source: istio/istio, manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml (which pods it is asked
 * about), pkg/kube/inject/inject.go `injectRequired` (what it says), manifests/charts/istio-cni/values.yaml `enablementSelectors`.
 */
import type { Resource } from "../resources/resource.ts";
import type { Labels, Namespace } from "./mesh.ts";

/** What the rules look at. */
export interface InjectablePod {
  readonly namespace: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly hostNetwork: boolean;
  /** Whether the pod, as written, has a proxy's container already. */
  readonly hasProxy: boolean;
  /** Whether it is a proxy and nothing else. */
  readonly isGateway: boolean;
  /** Whether it is on record as it runs, with an address. */
  readonly runs: boolean;
}

/**
 * What a sidecar is concluded from: the pod has it already, labels ask for it, or nothing says anything about it and it is assumed.
 */
export type SidecarReason = "present" | "labels" | "assumption";

/** `why` says, for a person, what keeps every proxy of the mesh away. */
export type DataplaneChoice =
  | { readonly dataplane: "sidecar"; readonly by: SidecarReason }
  | { readonly dataplane: "ambient" }
  | { readonly dataplane: "none"; readonly why: string };

const INJECT = "sidecar.istio.io/inject";
const REVISION = "istio.io/rev";
const INJECTION = "istio-injection";
const MODE = "istio.io/dataplane-mode";
const STATUS = "sidecar.istio.io/status";
/** The injector puts it on every pod that gets a sidecar; istiod has clients speak mutual TLS to pods with it. */
export const TLS_MODE_LABEL = "security.istio.io/tlsMode";

/** Istio never injects there (pkg/kube/inject/initializer.go). */
const SYSTEM_NAMESPACES: ReadonlySet<string> = new Set([
  "kube-system",
  "kube-public",
  "kube-node-lease",
  "local-path-storage",
]);
/** The CNI agent leaves this one out of ambient mode. */
const NEVER_AMBIENT = "kube-system";

const AMBIENT: DataplaneChoice = { dataplane: "ambient" };

export class InjectionRules {
  /**
   * Nothing in the files asks for a proxy: they are taken as of a mesh that is installed with
   * `sidecarInjectorWebhook.enableNamespacesByDefault`, since nobody asks about a mesh in which no pod takes part.
   */
  readonly byDefault: boolean;
  /** Some running pod carries what the injector writes: the files are a record of a cluster, in which its absence tells something. */
  readonly #recordsInjection: boolean;
  readonly #namespaces: ReadonlyMap<string, Namespace>;
  readonly #declared: ReadonlySet<string>;

  /** @param pods every pod and pod template of the files. */
  constructor(
    resources: readonly Resource[],
    namespaces: ReadonlyMap<string, Namespace>,
    pods: Iterable<InjectablePod>,
  ) {
    this.#namespaces = namespaces;
    const declared = resources.filter(({ kind, apiVersion }) => kind === "Namespace" && apiVersion === "v1");
    this.#declared = new Set(declared.map(({ name }) => name));
    const known = [...pods];
    this.byDefault = !declared.some(({ labels }) => asksForProxy(labels)) && !known.some(podAsksForProxy);
    this.#recordsInjection = known.some(({ runs, labels }) => runs && labels[TLS_MODE_LABEL] !== undefined);
  }

  /** Namespaces of which no file says whether they are injected, in a mesh whose files say so of others. */
  isUndeclared(namespace: string): boolean {
    return !this.byDefault && !this.#declared.has(namespace) && !SYSTEM_NAMESPACES.has(namespace);
  }

  /** In a record of a cluster, a running pod that does not show the sidecar which it is taken to have. */
  isUnproven(pod: InjectablePod): boolean {
    return this.#recordsInjection && this.#lacksMark(pod);
  }

  #lacksMark(pod: InjectablePod): boolean {
    const choice = this.choose(pod);
    const { runs, isGateway, labels } = pod;
    return (
      runs &&
      !isGateway &&
      labels[TLS_MODE_LABEL] === undefined &&
      choice.dataplane === "sidecar" &&
      choice.by !== "present"
    );
  }

  /**
   * What clients believe of a pod: by its label, as istiod does. Who is to be injected has it; a running pod without it is believed to have a sidecar
   * where its own side is decided so for good reason: labels ask for one, or no running pod of the files has the label.
   */
  tlsMode(pod: InjectablePod): "istio" | "disabled" {
    const label = pod.labels[TLS_MODE_LABEL];
    if (label !== undefined) return label === "istio" ? "istio" : "disabled";
    const choice = this.choose(pod);
    if (choice.dataplane === "none") return "disabled";
    if (!pod.runs || choice.dataplane === "ambient") return "istio";
    if (!this.#lacksMark(pod)) return "disabled";
    return choice.by === "labels" || !this.#recordsInjection ? "istio" : "disabled";
  }

  choose(pod: InjectablePod): DataplaneChoice {
    if (pod.hasProxy || STATUS in pod.annotations) return { dataplane: "sidecar", by: "present" };
    const obstacle = this.#notInjected(pod);
    if (obstacle === undefined)
      return { dataplane: "sidecar", by: this.#isAskedFor(pod) ? "labels" : "assumption" };
    return this.#isAmbient(pod) ? AMBIENT : { dataplane: "none", why: obstacle };
  }

  #isAskedFor({ namespace, labels }: InjectablePod): boolean {
    const own = this.#labelsOf(namespace);
    if (own[INJECTION] !== undefined) return own[INJECTION] === "enabled";
    return own[REVISION] !== undefined || labels[REVISION] !== undefined || labels[INJECT] === "true";
  }

  /** Undefined: it gets a sidecar. */
  #notInjected(pod: InjectablePod): string | undefined {
    if (pod.hostNetwork) return "it is on its host's network, where no sidecar is injected";
    if (SYSTEM_NAMESPACES.has(pod.namespace)) return `nothing is injected in namespace ${pod.namespace}`;
    const refusal = refusalOf(pod);
    // A gateway without its proxy is nothing: whoever wrote it has it injected.
    return refusal ?? (pod.isGateway ? undefined : this.#notSelected(pod));
  }

  /** The webhook is not asked at all about pods that neither their namespace nor they themselves put forward. */
  #notSelected({ namespace, labels }: InjectablePod): string | undefined {
    const own = this.#labelsOf(namespace);
    const injection = own[INJECTION];
    if (injection === "enabled") return undefined;
    if (injection !== undefined) return `its namespace says \`${INJECTION}: ${injection}\``;
    if (own[REVISION] !== undefined || labels[REVISION] !== undefined) return undefined;
    if (labels[INJECT] === "true") return undefined;
    // Whose pods or namespace are spoken for by the other data plane has no need of an assumption.
    const isOpen = this.byDefault || this.isUndeclared(namespace);
    if (isOpen && labels[INJECT] === undefined && labels[MODE] === undefined && own[MODE] !== "ambient")
      return undefined;
    return `neither its namespace (\`${INJECTION}: enabled\`, \`${REVISION}\`) nor its own label \`${INJECT}\` has a sidecar injected`;
  }

  #isAmbient({ namespace, labels, hostNetwork }: InjectablePod): boolean {
    if (hostNetwork || namespace === NEVER_AMBIENT) return false;
    const mode = labels[MODE];
    return mode === "ambient" || (mode !== "none" && this.#labelsOf(namespace)[MODE] === "ambient");
  }

  #labelsOf(namespace: string): Labels {
    return this.#namespaces.get(namespace)?.labels ?? {};
  }
}

/** What the pod itself says against a sidecar. The label is looked at before the annotation; other values than `true` and `false` say nothing. */
export function refusalOf({
  labels,
  annotations,
}: Pick<InjectablePod, "labels" | "annotations">): string | undefined {
  const label = labels[INJECT];
  if ((label ?? annotations[INJECT]) !== "false") return undefined;
  return `its ${label === undefined ? "annotation" : "label"} says \`${INJECT}: "false"\``;
}

function asksForProxy(labels: Labels): boolean {
  return labels[INJECTION] === "enabled" || labels[REVISION] !== undefined || labels[MODE] === "ambient";
}

/** Gateways say so in every installation, and nothing about others by that. */
function podAsksForProxy({ labels, isGateway }: InjectablePod): boolean {
  if (isGateway) return false;
  return labels[INJECT] === "true" || labels[REVISION] !== undefined || labels[MODE] === "ambient";
}

/** Containers that the injector adds, or that whoever ran `istioctl kube-inject` has added. */
export function hasProxyContainer(podSpec: Readonly<Record<string, unknown>>): boolean {
  return [podSpec.containers, podSpec.initContainers].some(
    (list) =>
      Array.isArray(list) &&
      list.some((container) => (container as { name?: unknown } | null)?.name === "istio-proxy"),
  );
}
