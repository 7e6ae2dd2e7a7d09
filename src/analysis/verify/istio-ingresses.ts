/**
 * Kubernetes' Ingresses that istiod makes Gateways and routes of: whoever comes by them comes as the ingress gateway. Source: istio/istio,
 * pilot/pkg/config/kube/ingress (which Ingresses, and the gateway's selector).
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { ingressBackends } from "../../policy/network/exposed-backends.ts";
import type { Resource } from "../../resources/resource.ts";

type Json = Readonly<Record<string, unknown>>;

const CLASS_ANNOTATION = "kubernetes.io/ingress.class";
const CONTROLLER = "istio.io/ingress-controller";

export interface IstioIngress {
  readonly ingress: Resource;
  /** The pods that serve it; none where no file has them. */
  readonly gateways: readonly Workload[];
  /** Behind its Services. */
  readonly workloads: readonly Workload[];
}

export function istioIngresses(mesh: Mesh): readonly IstioIngress[] {
  const own = mesh.resources.filter((resource) => isIngress(resource) && isIstios(mesh, resource));
  if (own.length === 0) return [];
  const selector = gatewaySelector(mesh.config.raw);
  const gateways = mesh.workloads.filter(
    ({ role, labels }) => role !== "waypoint" && matchesLabels(selector, labels),
  );
  return own.map((ingress) => ({ ingress, gateways, workloads: workloadsBehind(mesh, ingress) }));
}

function isIngress({ kind, apiVersion }: Resource): boolean {
  return kind === "Ingress" && apiVersion.startsWith("networking.k8s.io/");
}

/** By the annotation, else by the class' controller. A class that no file has is taken for Istio's where it has the name of Istio's. */
function isIstios({ resources, config }: Mesh, { annotations, spec }: Resource): boolean {
  const { ingressClass = "istio", ingressControllerMode: mode = "STRICT" } = config.raw;
  const annotated = annotations[CLASS_ANNOTATION];
  if (annotated !== undefined) return mode !== "OFF" && annotated === ingressClass;
  const { ingressClassName } = (spec ?? {}) as Json;
  if (ingressClassName === undefined) return mode === "DEFAULT";
  const known = resources.find(({ kind, name }) => kind === "IngressClass" && name === ingressClassName);
  if (known === undefined) return ingressClassName === ingressClass || mode === "DEFAULT";
  return ((known.spec ?? {}) as Json).controller === CONTROLLER;
}

function gatewaySelector({ ingressSelector, ingressService }: Json): Readonly<Record<string, string>> {
  const said = [ingressSelector, ingressService].find((own) => typeof own === "string" && own !== "");
  return { istio: said === undefined || said === "istio-ingressgateway" ? "ingressgateway" : String(said) };
}

function workloadsBehind({ services }: Mesh, ingress: Resource): readonly Workload[] {
  const named = new Set(ingressBackends(ingress).map(({ namespace, service }) => `${namespace}/${service}`));
  return services
    .filter(({ origin, namespace, name }) => origin === "kubernetes" && named.has(`${namespace}/${name}`))
    .flatMap(({ endpoints }) => endpoints.flatMap(({ workload }) => workload ?? []));
}
