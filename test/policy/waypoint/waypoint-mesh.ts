/** A namespace in ambient mode behind a waypoint, for journeys. */
import { authorizationText, namespaceText, podText, resourceText } from "../path/journey-text.ts";

type Labels = Readonly<Record<string, string>>;

export const AMBIENT = { "istio.io/dataplane-mode": "ambient" };
export const USES = { "istio.io/use-waypoint": "wp" };
export const SERVICE_HOST = "s.m.svc.cluster.local";
export const CLIENT_ID = "cluster.local/ns/m/sa/c";

/** A pod whose node's ztunnel has captured it: no sidecar's label. */
export function ambientPodText(
  namespace: string,
  name: string,
  ip: string,
  labels: Labels = {},
  ports: readonly number[] = [8080, 9000],
): string {
  return podText(namespace, name, { ip, labels, ports }).replace(
    '"security.istio.io/tlsMode":"istio"',
    '"mode":"ambient"',
  );
}

interface GatewayText {
  readonly namespace?: string;
  readonly name?: string;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly className?: string;
  readonly allowedRoutes?: object;
  readonly status?: object;
}

export function waypointText(options: GatewayText = {}): string {
  const {
    namespace = "m",
    name = "wp",
    labels = {},
    annotations = {},
    className = "istio-waypoint",
  } = options;
  const { allowedRoutes, status } = options;
  const listener = {
    name: "mesh",
    port: 15008,
    protocol: "HBONE",
    ...(allowedRoutes === undefined ? {} : { allowedRoutes }),
  };
  const body = {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name, namespace, labels, annotations },
    spec: { gatewayClassName: className, listeners: [listener] },
    ...(status === undefined ? {} : { status }),
  };
  return `---\n${JSON.stringify(body)}\n`;
}

/** The waypoint's own pod, at a known address. */
export function waypointPodText(namespace = "m", name = "wp", ip = "10.1.0.9"): string {
  const labels = {
    "gateway.networking.k8s.io/gateway-name": name,
    "gateway.istio.io/managed": "istio.io-mesh-controller",
    "istio.io/dataplane-mode": "none",
    "sidecar.istio.io/inject": "false",
  };
  const body = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: { serviceAccountName: name, containers: [{ name: "istio-proxy", image: "auto" }] },
    status: { podIP: ip },
  };
  return `---\n${JSON.stringify(body)}\n`;
}

export const PORTS = [
  { name: "http", port: 80, targetPort: 8080 },
  { name: "tcp", port: 9000 },
  { name: "auto-it", port: 90, targetPort: 8080 },
  { name: "tls", port: 443, targetPort: 8443 },
];

export function boundServiceText(
  labels: Labels = {},
  spec: object = {},
  namespace = "m",
  name = "s",
): string {
  const all = { clusterIP: "10.96.0.1", selector: { app: name }, ports: PORTS, ...spec };
  return resourceText("v1", "Service", namespace, name, all, labels);
}

/** Namespace m: client c and server s behind waypoint wp. */
export function shopText(namespaceLabels: Labels = USES, more = ""): string {
  return [
    namespaceText("m", { ...AMBIENT, ...namespaceLabels }),
    ambientPodText("m", "c", "10.1.0.1"),
    ambientPodText("m", "s", "10.1.0.2"),
    boundServiceText(),
    waypointText(),
    waypointPodText(),
    more,
  ].join("");
}

export const SERVICE_REF = { kind: "Service", group: "", name: "s" };
export const GATEWAY_REF = { kind: "Gateway", group: "gateway.networking.k8s.io", name: "wp" };
export const CLASS_REF = { kind: "GatewayClass", group: "gateway.networking.k8s.io", name: "istio-waypoint" };

/** At a waypoint: by default on service s. */
export function targetedText(
  spec: object,
  { namespace = "m", name = "p", refs = [SERVICE_REF as object] } = {},
): string {
  return authorizationText(namespace, name, { targetRefs: refs, ...spec });
}

export const fromClient = { workload: "m/c" } as const;
export const toService = { service: "s.m", port: 80 } as const;
