/**
 * The mesh as one immutable snapshot. Built by build-mesh.ts from resources; everything after it (policy, data plane,
 * analysis) reads this and nothing else.
 */
import type { IDestinationRule } from "@kubernetes-models/istio/networking.istio.io/v1/DestinationRule";
import type { IGateway } from "@kubernetes-models/istio/networking.istio.io/v1/Gateway";
import type { IServiceEntry } from "@kubernetes-models/istio/networking.istio.io/v1/ServiceEntry";
import type { ISidecar } from "@kubernetes-models/istio/networking.istio.io/v1/Sidecar";
import type { IVirtualService } from "@kubernetes-models/istio/networking.istio.io/v1/VirtualService";
import type { IAuthorizationPolicy } from "@kubernetes-models/istio/security.istio.io/v1/AuthorizationPolicy";
import type { IPeerAuthentication } from "@kubernetes-models/istio/security.istio.io/v1/PeerAuthentication";
import type { IRequestAuthentication } from "@kubernetes-models/istio/security.istio.io/v1/RequestAuthentication";
import type { Resource } from "../resources/resource.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { TrafficCapture } from "./traffic-capture.ts";

export type AuthorizationPolicySpec = NonNullable<IAuthorizationPolicy["spec"]>;
export type PeerAuthenticationSpec = NonNullable<IPeerAuthentication["spec"]>;
export type RequestAuthenticationSpec = NonNullable<IRequestAuthentication["spec"]>;
export type VirtualServiceSpec = NonNullable<IVirtualService["spec"]>;
export type DestinationRuleSpec = NonNullable<IDestinationRule["spec"]>;
export type ServiceEntrySpec = NonNullable<IServiceEntry["spec"]>;
export type SidecarSpec = NonNullable<ISidecar["spec"]>;
export type GatewaySpec = NonNullable<IGateway["spec"]>;

export type Labels = Readonly<Record<string, string>>;

export interface Namespace {
  readonly name: string;
  readonly labels: Labels;
}

/** What an application port speaks, by Istio's rules for `appProtocol` and port names; `auto` = to be detected. */
export type AppProtocol =
  | "http"
  | "http2"
  | "grpc"
  | "https"
  | "tls"
  | "tcp"
  | "mongo"
  | "mysql"
  | "redis"
  | "udp"
  | "auto";

export interface ContainerPort {
  readonly name?: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP" | "SCTP";
}

export type WorkloadKind =
  | "Deployment"
  | "StatefulSet"
  | "DaemonSet"
  | "ReplicaSet"
  | "ReplicationController"
  | "Job"
  | "CronJob"
  | "Pod"
  | "WorkloadEntry"
  // Not Kubernetes' own: of Argo Rollouts, OpenKruise and OpenShift.
  | "Rollout"
  | "CloneSet"
  | "DeploymentConfig";

/** One group of equal replicas under one service account. */
export interface Workload {
  /** `namespace/name`, unique together with `kind`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly kind: WorkloadKind;
  /** Labels of the pods. */
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly serviceAccount: string;
  /** `spiffe://<trust domain>/ns/<ns>/sa/<sa>` */
  readonly spiffeId: string;
  /** `gateway`: a proxy without an application that a Gateway resource selects. */
  readonly role: "application" | "gateway" | "waypoint";
  /** Whether, and how, the mesh's proxy stands before it. */
  readonly dataplane: "sidecar" | "ambient" | "none";
  /** What keeps every proxy away, for a person; absent where one stands before it. */
  readonly unproxied?: string;
  /** Traffic that its sidecar is told to leave alone; absent: all of it is captured. */
  readonly capture?: TrafficCapture;
  /** What clients believe: auto mTLS is used to its endpoints (Istio's tlsMode label, or injection to come). */
  readonly tlsMode: "istio" | "disabled";
  readonly ports: readonly ContainerPort[];
  readonly replicas: number;
  /** Known addresses (status.podIP, WorkloadEntry.address); templates have none until a substrate gives them. */
  readonly addresses: readonly string[];
  readonly hostNetwork: boolean;
  readonly resource: Resource;
}

export interface ServicePort {
  readonly name?: string;
  /** The port that clients dial. */
  readonly port: number;
  /** A container port's number or name; equal to `port` where none is given. */
  readonly targetPort: number | string;
  readonly protocol: AppProtocol;
}

/** A host that clients can name: a Kubernetes Service, or one host of a ServiceEntry. */
export interface Service {
  /** Fully qualified for Kubernetes (`payroll.finance.svc.cluster.local`); as written for a ServiceEntry (may be `*.ibm.com`). */
  readonly hostname: string;
  readonly namespace: string;
  readonly name: string;
  readonly origin: "kubernetes" | "service-entry";
  readonly ports: readonly ServicePort[];
  /** VIPs; empty for headless services and ServiceEntries without addresses. CIDR blocks occur in ServiceEntries. */
  readonly addresses: readonly string[];
  readonly headless: boolean;
  readonly externalName?: string;
  readonly resolution: "static" | "dns" | "dns-round-robin" | "dynamic-dns" | "none" | "passthrough";
  /** True for ServiceEntry MESH_EXTERNAL: no mutual TLS by default. */
  readonly external: boolean;
  /** Namespaces that see it: `.`, `*`, `~`, or names; empty = the mesh's default. */
  readonly exportTo: readonly string[];
  /** Extra identities of its endpoints (ServiceEntry subjectAltNames). */
  readonly subjectAltNames: readonly string[];
  readonly endpoints: readonly Endpoint[];
  readonly resource: Resource;
}

/** One place that serves a Service: a workload of the mesh, or an address given in a ServiceEntry. */
export interface Endpoint {
  /** The workload behind it, where it is one of ours. */
  readonly workload?: Workload;
  /** Literal address or DNS name, for endpoints that are written out. */
  readonly address?: string;
  readonly labels: Labels;
  /** Per service port name: port number on the endpoint, where it differs from targetPort. */
  readonly portOverrides: Readonly<Record<string, number>>;
  readonly serviceAccount?: string;
  readonly spiffeId?: string;
  readonly tlsMode: "istio" | "disabled";
  readonly weight?: number;
}

export interface Mesh {
  readonly config: MeshConfig;
  readonly namespaces: ReadonlyMap<string, Namespace>;
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  /**
   * Namespaces that `discoverySelectors` leave out: nothing of Istio's own in them counts and none of their Services is known
   * to the mesh. Their pods are there all the same, injected or not. Empty where there are no selectors.
   */
  readonly undiscovered: ReadonlySet<string>;
  /** Kubernetes Services of those namespaces: DNS and kube-proxy know them, the mesh does not. */
  readonly undiscoveredServices: readonly Service[];
  /** Each list is sorted by age (see byAge). */
  readonly authorizationPolicies: readonly Resource<AuthorizationPolicySpec>[];
  readonly peerAuthentications: readonly Resource<PeerAuthenticationSpec>[];
  readonly requestAuthentications: readonly Resource<RequestAuthenticationSpec>[];
  readonly virtualServices: readonly Resource<VirtualServiceSpec>[];
  readonly destinationRules: readonly Resource<DestinationRuleSpec>[];
  readonly serviceEntries: readonly Resource<ServiceEntrySpec>[];
  readonly sidecars: readonly Resource<SidecarSpec>[];
  readonly gateways: readonly Resource<GatewaySpec>[];
  /** Everything that was read, for what is not modelled here (NetworkPolicy, RBAC, Gateway API …). */
  readonly resources: readonly Resource[];
}
