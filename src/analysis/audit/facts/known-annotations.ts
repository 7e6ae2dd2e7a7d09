/** The annotations that Istio knows (istio.io/api at 1.31, annotation/annotations.yaml): where each may stand, and how mature it is. */
import type { Labels } from "../../../model/mesh.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { podsOf } from "./pods.ts";

export interface KnownAnnotation {
  /** Kinds; `Any` for all. */
  readonly kinds: readonly string[];
  readonly isAlpha: boolean;
  readonly isDeprecated: boolean;
}

const TABLE: readonly (readonly [name: string, kinds: string, status: string])[] = [
  ["alpha.istio.io/canonical-serviceaccounts", "Service", "alpha deprecated"],
  ["alpha.istio.io/kubernetes-serviceaccounts", "Service", "alpha deprecated"],
  ["ambient.istio.io/bypass-inbound-capture", "Pod", "alpha"],
  ["ambient.istio.io/dns-capture", "Pod", "alpha"],
  ["ambient.istio.io/redirection", "Pod", "beta"],
  ["ambient.istio.io/waypoint-inbound-binding", "GatewayClass Gateway", "alpha"],
  ["galley.istio.io/analyze-suppress", "Any", "alpha"],
  ["gateway.istio.io/controller-version", "Any", "alpha"],
  ["gateway.istio.io/name-override", "Gateway", "alpha"],
  ["gateway.istio.io/service-account", "Gateway", "alpha"],
  ["inject.istio.io/templates", "Pod", "alpha"],
  ["istio.io/autoRegistrationGroup", "WorkloadEntry", "alpha"],
  ["istio.io/connectedAt", "WorkloadEntry", "alpha"],
  ["istio.io/disconnectedAt", "WorkloadEntry", "alpha"],
  ["istio.io/dry-run", "AuthorizationPolicy", "alpha"],
  ["istio.io/reroute-virtual-interfaces", "Pod", "alpha"],
  ["istio.io/rev", "Pod", "alpha"],
  ["istio.io/use-waypoint-canary-weight", "Service ServiceEntry Namespace", "alpha"],
  ["istio.io/workloadController", "WorkloadEntry", "alpha"],
  ["kubernetes.io/ingress.class", "Ingress", "stable"],
  ["networking.istio.io/exportTo", "Service", "alpha"],
  ["networking.istio.io/service-type", "Gateway", "alpha"],
  ["networking.istio.io/traffic-distribution", "Namespace Service ServiceEntry", "alpha"],
  ["prometheus.istio.io/merge-metrics", "Pod", "alpha"],
  ["proxy.istio.io/config", "Pod", "beta"],
  ["proxy.istio.io/overrides", "Pod", "alpha"],
  ["readiness.status.sidecar.istio.io/applicationPorts", "Pod", "alpha"],
  ["readiness.status.sidecar.istio.io/failureThreshold", "Pod", "alpha"],
  ["readiness.status.sidecar.istio.io/initialDelaySeconds", "Pod", "alpha"],
  ["readiness.status.sidecar.istio.io/periodSeconds", "Pod", "alpha"],
  ["sidecar.istio.io/agentLogLevel", "Pod", "alpha"],
  ["sidecar.istio.io/bootstrapOverride", "Pod", "alpha"],
  ["sidecar.istio.io/componentLogLevel", "Pod", "alpha"],
  ["sidecar.istio.io/discoveryAddress", "Pod", "alpha deprecated"],
  ["sidecar.istio.io/extraStatTags", "Pod", "alpha deprecated"],
  ["sidecar.istio.io/inject", "Pod", "beta deprecated"],
  ["sidecar.istio.io/interceptionMode", "Pod", "alpha"],
  ["sidecar.istio.io/logLevel", "Pod", "alpha"],
  ["sidecar.istio.io/nativeSidecar", "Pod", "alpha"],
  ["sidecar.istio.io/proxyCPU", "Pod", "alpha"],
  ["sidecar.istio.io/proxyCPULimit", "Pod", "alpha"],
  ["sidecar.istio.io/proxyImage", "Pod", "alpha"],
  ["sidecar.istio.io/proxyImageType", "Pod", "alpha"],
  ["sidecar.istio.io/proxyMemory", "Pod", "alpha"],
  ["sidecar.istio.io/proxyMemoryLimit", "Pod", "alpha"],
  ["sidecar.istio.io/rewriteAppHTTPProbers", "Pod", "alpha"],
  ["sidecar.istio.io/statsCompression", "Pod", "alpha deprecated"],
  ["sidecar.istio.io/statsEvictionInterval", "Pod", "alpha"],
  ["sidecar.istio.io/statsFlushInterval", "Pod", "alpha"],
  ["sidecar.istio.io/statsHistogramBins", "Pod", "alpha"],
  ["sidecar.istio.io/statsHistogramBuckets", "Pod", "alpha"],
  ["sidecar.istio.io/statsInclusionPrefixes", "Pod", "alpha deprecated"],
  ["sidecar.istio.io/statsInclusionRegexps", "Pod", "alpha deprecated"],
  ["sidecar.istio.io/statsInclusionSuffixes", "Pod", "alpha deprecated"],
  ["sidecar.istio.io/status", "Pod", "alpha"],
  ["sidecar.istio.io/userVolume", "Pod", "alpha"],
  ["sidecar.istio.io/userVolumeMount", "Pod", "alpha"],
  ["status.sidecar.istio.io/port", "Pod", "alpha"],
  ["topology.istio.io/controlPlaneClusters", "Namespace", "alpha"],
  ["traffic.istio.io/nodeSelector", "Service", "stable"],
  ["traffic.sidecar.istio.io/excludeInboundPorts", "Pod", "alpha"],
  ["traffic.sidecar.istio.io/excludeInterfaces", "Pod", "alpha"],
  ["traffic.sidecar.istio.io/excludeOutboundIPRanges", "Pod", "alpha"],
  ["traffic.sidecar.istio.io/excludeOutboundPorts", "Pod", "alpha"],
  ["traffic.sidecar.istio.io/includeInboundPorts", "Pod", "alpha"],
  ["traffic.sidecar.istio.io/includeOutboundIPRanges", "Pod", "alpha"],
  ["traffic.sidecar.istio.io/includeOutboundPorts", "Pod", "alpha"],
  ["traffic.sidecar.istio.io/kubevirtInterfaces", "Pod", "alpha deprecated"],
];

export const KNOWN_ANNOTATIONS: ReadonlyMap<string, KnownAnnotation> = new Map(
  TABLE.map(([name, kinds, status]) => [
    name,
    {
      kinds: kinds.split(" "),
      isAlpha: status.startsWith("alpha"),
      isDeprecated: status.endsWith("deprecated"),
    },
  ]),
);

/** Set by Istio itself. */
const OWN = new Set(["sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"]);

export interface WrittenAnnotation {
  readonly resource: Resource;
  /** What carries it: the resource's kind, or `Pod` for a template. */
  readonly kind: string;
  readonly name: string;
  readonly value: string;
  readonly path: FieldPath;
  /** Labels of what carries it. */
  readonly labels: Labels;
  readonly known: KnownAnnotation | undefined;
}

const CARRIERS = [
  ["", "Namespace"],
  ["", "Service"],
  ["", "Pod"],
  ["apps", "Deployment"],
] as const;

/** Istio's annotations on what `istioctl` looks at, and on templates of pods, which it does not. */
export function writtenAnnotations(audit: AuditContext): readonly WrittenAnnotation[] {
  const own = CARRIERS.flatMap(([group, kind]) =>
    audit.every(group, kind).flatMap((resource) => {
      const { annotations, labels } = resource;
      return annotationsAt(resource, kind, annotations, labels, ["metadata", "annotations"]);
    }),
  );
  const templates = audit.fact(podsOf).flatMap(({ resource, annotations, labels, at }) => {
    if (resource.kind === "Pod") return [];
    return annotationsAt(resource, "Pod", annotations, labels, [
      ...at.slice(0, -1),
      "metadata",
      "annotations",
    ]);
  });
  return [...own, ...templates];
}

function annotationsAt(
  resource: Resource,
  kind: string,
  annotations: Labels,
  labels: Labels,
  at: FieldPath,
): readonly WrittenAnnotation[] {
  return Object.entries(annotations)
    .filter(([name]) => isIstios(name) && !OWN.has(name))
    .map(([name, value]) => ({
      resource,
      kind,
      name,
      value,
      path: [...at, name],
      labels,
      known: KNOWN_ANNOTATIONS.get(name),
    }));
}

function isIstios(name: string): boolean {
  return name === "kubernetes.io/ingress.class" || (name.split("/")[0] ?? "").endsWith("istio.io");
}

/** Whether it may stand on what carries it. */
export function isAtHome({ known, kind }: WrittenAnnotation): boolean {
  return known === undefined || known.kinds.includes("Any") || known.kinds.includes(kind);
}
