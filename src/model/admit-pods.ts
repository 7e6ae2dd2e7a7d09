/** What only the mesh as a whole shows to be wrong: pods that the injector refuses, and what the files leave open. */
import type { Diagnostic } from "../resources/diagnostic.ts";
import type { RejectedResource } from "../resources/load.ts";
import { type Resource, resourceName } from "../resources/resource.ts";
import { meshConfigOf, namespacesOf } from "./build-mesh.ts";
import { injectablePodOf, injectionRules } from "./build-workloads.ts";
import { undiscoveredNamespaces } from "./discovery.ts";
import { TLS_MODE_LABEL } from "./injection.ts";
import { captureProblems } from "./traffic-capture.ts";
import { type UnreadPods, unreadPods } from "./unread-pods.ts";
import { podOf } from "./written-pod.ts";

export interface AdmittedResources {
  readonly resources: readonly Resource[];
  /** Workloads whose annotations make Istio's injector fail: no pod of them is ever made. */
  readonly rejected: readonly RejectedResource[];
  readonly warnings: readonly Diagnostic[];
}

/** Pure. Nothing is copied where nothing is refused. */
export function admitPods(resources: readonly Resource[]): AdmittedResources {
  const namespaces = namespacesOf(resources);
  const injection = injectionRules(resources, namespaces);
  const refused = new Map<Resource, readonly Diagnostic[]>();
  const undeclared = new Map<string, Resource>();
  const unproven: Diagnostic[] = [];
  for (const resource of resources) {
    const [pod] = injectablePodOf(resource);
    if (pod === undefined) continue;
    const errors = injection.choose(pod).dataplane === "sidecar" ? annotationErrors(resource) : [];
    if (errors.length > 0) refused.set(resource, errors);
    if (injection.isUndeclared(pod.namespace) && !undeclared.has(pod.namespace))
      undeclared.set(pod.namespace, resource);
    if (injection.isUnproven(pod)) unproven.push(unprovenWarning(resource, injection.tlsMode(pod)));
  }
  return {
    resources: refused.size === 0 ? resources : resources.filter((resource) => !refused.has(resource)),
    rejected: [...refused].map(([resource, errors]) => {
      const { kind, namespace, name } = resource;
      return { kind, namespace, name, errors, resource };
    }),
    warnings: [
      ...[...undeclared].map(undeclaredWarning),
      ...unproven,
      ...undiscoveredRoot(resources),
      ...unreadPods(resources).map(unreadPodsWarning),
    ],
  };
}

function annotationErrors(resource: Resource): readonly Diagnostic[] {
  const at = podOf(resource)?.at ?? [];
  const [pod] = injectablePodOf(resource);
  return captureProblems(pod?.annotations ?? {}).map(({ annotation, message }) => ({
    code: "BW1511_CAPTURE_ANNOTATION",
    severity: "error",
    message: `${message}: the injector refuses every pod with it`,
    resource: resourceName(resource),
    span: resource.locate([...at, "metadata", "annotations", annotation]),
    help: 'ports are like "8080,9090", blocks of addresses like "10.0.0.0/8,192.168.0.0/16"; "*" is for includeInboundPorts and includeOutboundIPRanges',
  }));
}

function undeclaredWarning([namespace, resource]: readonly [string, Resource]): Diagnostic {
  return {
    code: "BW1512_NAMESPACE_NOT_DECLARED",
    severity: "warning",
    message: `no file says how namespace \`${namespace}\` is labelled: its pods are taken to get sidecars`,
    resource: resourceName(resource),
    span: resource.locate(["metadata"]),
    help: "add the Namespace with the labels that it has: without `istio-injection: enabled` nothing is injected",
  };
}

function unprovenWarning(resource: Resource, tlsMode: "istio" | "disabled"): Diagnostic {
  const clients =
    tlsMode === "istio"
      ? "its labels or its namespace's ask for a sidecar, so it is taken to have one"
      : "its own side is decided as behind a sidecar, while clients speak to it in clear, as to a pod that has none";
  return {
    code: "BW1514_SIDECAR_NOT_SHOWN",
    severity: "warning",
    message: `the pod runs without the label \`${TLS_MODE_LABEL}: istio\`, which other pods of these files have: ${clients}`,
    resource: resourceName(resource),
    span: resource.locate(["metadata", "labels"]),
    help: `add the label \`${TLS_MODE_LABEL}: istio\` where it has a sidecar, \`sidecar.istio.io/inject: "false"\` where it has none (a pod that ran before its namespace was labelled gets one when it is made anew)`,
  };
}

/** For every command that loads files: what it says is not about these pods. */
export function unreadPodsWarning({ resource, name }: UnreadPods): Diagnostic {
  return {
    code: "BW1515_PODS_NOT_READ",
    severity: "warning",
    message: "makes pods that are in no file: whom they let in, and what they reach, is not analysed",
    resource: name,
    span: resource.locate(["kind"]),
    help: "add its pods as they run, with what owns them (`kubectl get pods,replicasets,deployments,statefulsets -o yaml`)",
  };
}

/** Mesh-wide policies that nobody reads: whoever wrote them believes that they hold. */
function undiscoveredRoot(resources: readonly Resource[]): readonly Diagnostic[] {
  const { discoverySelectors, rootNamespace } = meshConfigOf(resources);
  const left = undiscoveredNamespaces(discoverySelectors, namespacesOf(resources));
  const policies = resources.filter(
    ({ namespace, apiVersion }) => left.has(namespace) && apiVersion.startsWith("security.istio.io/"),
  );
  return policies.map((policy) => {
    const whole = policy.namespace === rootNamespace ? ", which is the mesh's root namespace" : "";
    return {
      code: "BW1513_NOT_DISCOVERED",
      severity: "warning",
      message: `\`discoverySelectors\` leave out namespace \`${policy.namespace}\`${whole}: this policy has no effect`,
      resource: resourceName(policy),
      span: policy.locate(["metadata"]),
      help: "label the namespace as one of the selectors wants, or add a selector",
    };
  });
}
