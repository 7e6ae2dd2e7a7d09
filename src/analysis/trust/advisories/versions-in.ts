/** Which versions of Istio, Envoy and Kubernetes the files name, and where. */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import { apiGroup } from "../../../resources/scope.ts";
import { type ImageReference, parseImageReference } from "../images/image-reference.ts";
import { AUTO_IMAGE, containersOf } from "../images/pod-containers.ts";
import type { Component } from "./advisory.ts";

export interface VersionFound {
  readonly component: Component;
  /** As written: a tag, or what a node reports. Absent where an image is named by its digest alone: nothing tells its version. */
  readonly version?: string;
  readonly resource: Resource;
  readonly path: FieldPath;
  /** The image that says so, as written. */
  readonly image?: string;
}

/** Names that Istio's images have had, of which some are too common to be taken for Istio's anywhere. */
const ISTIO_IMAGES = new Set(["proxyv2", "ztunnel", "pilot", "install-cni", "istio-testing-app"]);
const ISTIO_FORMER = new Set([
  "citadel",
  "galley",
  "mixer",
  "node-agent-k8s",
  "proxy_init",
  "sidecar_injector",
]);
const ISTIO_ONLY = new Set(["proxyv2", "ztunnel"]);
const ISTIO_CONTAINERS = new Set([
  "istio-proxy",
  "istio-init",
  "istio-validation",
  "discovery",
  "install-cni",
]);
const ENVOY_IMAGE = /^envoy(-(alpine|contrib|contrib-distroless|debug|distroless|tools))?$/;
const KUBERNETES: Readonly<Record<string, Component>> = {
  "kube-apiserver": "kube-apiserver",
  "kube-controller-manager": "kube-controller-manager",
  "kube-scheduler": "kube-scheduler",
  "kube-proxy": "kube-proxy",
  kubectl: "kubectl",
};
/** The image that the injector is to take for a pod's proxy. */
export const PROXY_IMAGE_ANNOTATION = "sidecar.istio.io/proxyImage";

/** Images of all containers, nodes' own reports, operators' settings and pods' annotations. */
export function versionsIn(resources: readonly Resource[]): readonly VersionFound[] {
  return resources.flatMap((resource) => [
    ...containersOf(resource).flatMap(({ name, image, path }) =>
      image === "" || image === AUTO_IMAGE ? [] : ofImage(image, name, resource, [...path, "image"]),
    ),
    ...ofAnnotation(resource),
    ...ofNode(resource),
    ...ofOperator(resource),
  ]);
}

/** @param container its name, which tells Istio's own from others of the same image name */
export function componentOf({ registry, repository }: ImageReference, container = ""): Component | undefined {
  const steps = repository.split("/");
  const name = steps.at(-1) ?? "";
  const isIstios =
    ISTIO_ONLY.has(name) ||
    ((ISTIO_IMAGES.has(name) || ISTIO_FORMER.has(name)) &&
      (steps.includes("istio") ||
        `${registry}/${repository}`.includes("istio") ||
        ISTIO_CONTAINERS.has(container)));
  if (isIstios) return "istio";
  if (ENVOY_IMAGE.test(name)) return "envoy";
  return Object.hasOwn(KUBERNETES, name) ? KUBERNETES[name] : undefined;
}

function ofImage(image: string, container: string, resource: Resource, path: FieldPath): VersionFound[] {
  const parsed = parseImageReference(image);
  const component = parsed === undefined ? undefined : componentOf(parsed, container);
  if (parsed === undefined || component === undefined) return [];
  return [{ component, ...(parsed.tag === undefined ? {} : { version: parsed.tag }), resource, path, image }];
}

function ofAnnotation(resource: Resource): VersionFound[] {
  const image = resource.annotations[PROXY_IMAGE_ANNOTATION];
  const path = ["metadata", "annotations", PROXY_IMAGE_ANNOTATION];
  return image === undefined ? [] : ofImage(image, "istio-proxy", resource, path);
}

function ofNode(resource: Resource): VersionFound[] {
  if (resource.kind !== "Node" || apiGroup(resource.apiVersion) !== "") return [];
  const path = ["status", "nodeInfo", "kubeletVersion"];
  const version = at(resource.body, path);
  return typeof version === "string" ? [{ component: "kubelet", version, resource, path }] : [];
}

/** `Istio`, `IstioCNI` and `ZTunnel` of the Sail operator. (Those of istioctl are no objects of a cluster, and are not loaded.) */
function ofOperator(resource: Resource): VersionFound[] {
  const isOperators = apiGroup(resource.apiVersion) === "sailoperator.io";
  if (!isOperators || !["Istio", "IstioCNI", "ZTunnel"].includes(resource.kind)) return [];
  const path = ["spec", "version"];
  const version = at(resource.body, path);
  return typeof version === "string" ? [{ component: "istio", version, resource, path }] : [];
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (here, step) => (typeof here === "object" && here !== null ? Reflect.get(here, step) : undefined),
    value,
  );
}
