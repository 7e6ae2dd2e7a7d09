/**
 * What Bulwark's own proxies do not act on yet. Whoever makes them act on something deletes its line here.
 * Kinds and fields that are in neither table are acted on.
 */

/** These two hold where pods are addresses of one machine: with network namespaces ztunnels and waypoints are run. */
export const AMBIENT_NOT_RUN =
  "its workloads get sidecars here: ambient mode is run with `--substrate netns`";
export const WAYPOINTS_NOT_RUN =
  "waypoints, which it is for, are decided (`bulwark can`) and not run here, but with `--substrate netns`";

/** Kinds that are read without effect: `group/Kind` → why, in words that end the sentence "… is read, but". */
export const UNSUPPORTED_KINDS: Readonly<Record<string, string>> = {
  "networking.istio.io/EnvoyFilter": "there is no Envoy to patch: nothing of it takes effect",
  "networking.istio.io/ProxyConfig": "Bulwark's proxies have no such settings",
  "networking.istio.io/WorkloadGroup": "virtual machines do not register themselves: write WorkloadEntries",
  "extensions.istio.io/WasmPlugin": "the proxies run no extensions: what it would check is not checked",
  "extensions.istio.io/TrafficExtension": "the proxies run no extensions: what it would check is not checked",
  "telemetry.istio.io/Telemetry": "every connection and request is in the flow log, whatever it says",
  "networking.k8s.io/NetworkPolicy": "nothing below the mesh enforces it on the loopback substrate",
  "policy.networking.k8s.io/AdminNetworkPolicy":
    "nothing below the mesh enforces it on the loopback substrate",
  "policy.networking.k8s.io/BaselineAdminNetworkPolicy":
    "nothing below the mesh enforces it on the loopback substrate",
  "gateway.networking.k8s.io/BackendTLSPolicy": "TLS to backends is as DestinationRules say",
  "gateway.networking.k8s.io/UDPRoute": "UDP is not served",
  "gateway.networking.k8s.io/ListenerSet": "a Gateway has the listeners that it writes itself",
  "networking.k8s.io/Ingress": "traffic from outside comes in through Gateways only",
  "batch/Job": "it is decided about as a workload, but not run",
  "batch/CronJob": "it is decided about as a workload, but not run",
};

/** Kinds that have nothing to do with traffic, or are used where other resources name them. */
export const SUPPORTED_KINDS: ReadonlySet<string> = new Set([
  "/Namespace",
  "/Pod",
  "/Service",
  "/ServiceAccount",
  "/ConfigMap",
  "/Secret",
  "/PersistentVolumeClaim",
  "/PersistentVolume",
  "/LimitRange",
  "/ResourceQuota",
  "/Node",
  "/ReplicationController",
  "apps/Deployment",
  "apps/StatefulSet",
  "apps/DaemonSet",
  "apps/ReplicaSet",
  "policy/PodDisruptionBudget",
  "autoscaling/HorizontalPodAutoscaler",
  "rbac.authorization.k8s.io/Role",
  "rbac.authorization.k8s.io/RoleBinding",
  "rbac.authorization.k8s.io/ClusterRole",
  "rbac.authorization.k8s.io/ClusterRoleBinding",
  "apiextensions.k8s.io/CustomResourceDefinition",
  "scheduling.k8s.io/PriorityClass",
  "storage.k8s.io/StorageClass",
  "bulwark.dev/AccessInvariant",
  "gateway.networking.k8s.io/Gateway",
  "gateway.networking.k8s.io/GatewayClass",
  "gateway.networking.k8s.io/GRPCRoute",
  "gateway.networking.k8s.io/HTTPRoute",
  "gateway.networking.k8s.io/ReferenceGrant",
  "gateway.networking.k8s.io/TCPRoute",
  "gateway.networking.k8s.io/TLSRoute",
  "networking.istio.io/DestinationRule",
  "networking.istio.io/Gateway",
  "networking.istio.io/ServiceEntry",
  "networking.istio.io/Sidecar",
  "networking.istio.io/VirtualService",
  "networking.istio.io/WorkloadEntry",
  "security.istio.io/AuthorizationPolicy",
  "security.istio.io/PeerAuthentication",
  "security.istio.io/RequestAuthentication",
]);

export interface UnsupportedField {
  readonly kind: string;
  /** Steps from the object's root; `[]` is every item of a list, `*` every value of a map. */
  readonly path: readonly string[];
  /** Only these values; any, where none are named. */
  readonly values?: readonly string[];
  readonly why: string;
}

const path = (text: string): readonly string[] => text.split(" ");

const ROUND_ROBIN = "requests go to the endpoints in turn";

const TRAFFIC_POLICIES: readonly string[] = [
  "spec trafficPolicy",
  "spec trafficPolicy portLevelSettings []",
  "spec subsets [] trafficPolicy",
  "spec subsets [] trafficPolicy portLevelSettings []",
];

const trafficPolicyFields = (at: string): UnsupportedField[] => [
  { kind: "DestinationRule", path: path(`${at} loadBalancer consistentHash`), why: ROUND_ROBIN },
  { kind: "DestinationRule", path: path(`${at} loadBalancer localityLbSetting`), why: ROUND_ROBIN },
  { kind: "DestinationRule", path: path(`${at} loadBalancer zoneAwareLbSetting`), why: ROUND_ROBIN },
  { kind: "DestinationRule", path: path(`${at} loadBalancer backendUtilization`), why: ROUND_ROBIN },
  { kind: "DestinationRule", path: path(`${at} loadBalancer warmup`), why: ROUND_ROBIN },
  { kind: "DestinationRule", path: path(`${at} loadBalancer warmupDurationSecs`), why: ROUND_ROBIN },
  {
    kind: "DestinationRule",
    path: path(`${at} loadBalancer simple`),
    values: ["LEAST_CONN", "LEAST_REQUEST", "RANDOM"],
    why: ROUND_ROBIN,
  },
  { kind: "DestinationRule", path: path(`${at} connectionPool tcp`), why: "the proxies' own limits hold" },
  {
    kind: "DestinationRule",
    path: path(`${at} connectionPool http`),
    why: "of the HTTP pool only h2UpgradePolicy is followed; the proxies' own limits hold",
  },
  { kind: "DestinationRule", path: path(`${at} outlierDetection`), why: "no endpoint is ejected" },
  {
    kind: "DestinationRule",
    path: path(`${at} tunnel`),
    why: "connections are not tunnelled through a proxy",
  },
  { kind: "DestinationRule", path: path(`${at} proxyProtocol`), why: "no PROXY header is sent" },
  { kind: "DestinationRule", path: path(`${at} retryBudget`), why: "retries are not counted together" },
];

const CAPTURE = [
  "includeInboundPorts",
  "excludeInboundPorts",
  "includeOutboundPorts",
  "excludeOutboundPorts",
  "includeOutboundIPRanges",
  "excludeOutboundIPRanges",
].map((name) => `traffic.sidecar.istio.io/${name}`);

/** Of pods, and of the templates that they are made from. */
const annotationFields = (name: string, why: string): UnsupportedField[] => [
  { kind: "Pod", path: ["metadata", "annotations", name], why },
  ...["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"].map((kind) => ({
    kind,
    path: ["spec", "template", "metadata", "annotations", name],
    why,
  })),
];

export const UNSUPPORTED_FIELDS: readonly UnsupportedField[] = [
  ...CAPTURE.flatMap((name) =>
    annotationFields(name, "the proxies serve every port and take every connection: nothing passes them by"),
  ),
  ...TRAFFIC_POLICIES.flatMap(trafficPolicyFields),
  {
    kind: "VirtualService",
    path: path("spec http [] retries backoff"),
    why: "tries are up to 250 ms apart, at random",
  },
  {
    kind: "VirtualService",
    path: path("spec http [] retries retryIgnorePreviousHosts"),
    why: "each try goes to the next endpoint in turn",
  },
  {
    kind: "Gateway",
    path: path("spec servers [] tls minProtocolVersion"),
    values: ["TLSV1_0", "TLSV1_1"],
    why: "nothing below TLS 1.2 is served",
  },
  {
    kind: "Gateway",
    path: path("spec servers [] tls ecdhCurves"),
    why: "the proxies' own groups hold, post-quantum first",
  },
  { kind: "Sidecar", path: path("spec ingress"), why: "the ports of the workload itself are served" },
  { kind: "Sidecar", path: path("spec inboundConnectionPool"), why: "the proxies' own limits hold" },
  {
    kind: "Sidecar",
    path: path("spec egress [] captureMode"),
    values: ["NONE"],
    why: "applications reach out through the explicit proxy in any case",
  },
  {
    kind: "AuthorizationPolicy",
    path: path("spec targetRef"),
    why: WAYPOINTS_NOT_RUN,
  },
  {
    kind: "AuthorizationPolicy",
    path: path("spec targetRefs"),
    why: WAYPOINTS_NOT_RUN,
  },
  {
    kind: "RequestAuthentication",
    path: path("spec targetRef"),
    why: WAYPOINTS_NOT_RUN,
  },
  {
    kind: "RequestAuthentication",
    path: path("spec targetRefs"),
    why: WAYPOINTS_NOT_RUN,
  },
  {
    kind: "Namespace",
    path: path("metadata labels istio.io/dataplane-mode"),
    values: ["ambient"],
    why: AMBIENT_NOT_RUN,
  },
  { kind: "Service", path: path("spec sessionAffinity"), values: ["ClientIP"], why: ROUND_ROBIN },
];
