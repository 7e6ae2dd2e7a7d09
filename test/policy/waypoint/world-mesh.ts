/** A random mesh as resources, and what is asked of it as a request. */
import type { AccessRequest } from "../../../src/index.ts";
import { authorizationText, namespaceText, peerText, podText, resourceText } from "../path/journey-text.ts";
import { ADDRESSES, type Question, type World, type WorldPolicy } from "../reference/reference-ambient.ts";
import { AMBIENT, ambientPodText, waypointPodText, waypointText } from "./waypoint-mesh.ts";

const INGRESS = [
  podText("g", "g", { ip: ADDRESSES.gateway, labels: { istio: "g" }, ports: [] }),
  resourceText("networking.istio.io/v1", "Gateway", "g", "g", {
    selector: { istio: "g" },
    servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
  }),
].join("");

function serviceOf(name: string, clusterIP: string, labels: Readonly<Record<string, string>>): string {
  const ports = [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "tcp", port: 9000, targetPort: 9000 },
  ];
  return resourceText("v1", "Service", "m", name, { clusterIP, selector: { app: "s" }, ports }, labels);
}

function policyText({ namespace, name, holds, spec, dryRun }: WorldPolicy): string {
  const attached =
    holds === "everywhere"
      ? {}
      : holds === "selector"
        ? { selector: { matchLabels: { app: "s" } } }
        : { targetRefs: [referenceTo(holds)] };
  const text = authorizationText(namespace, name, { ...spec, ...attached });
  return dryRun ? text.replace('"labels":{}', '"labels":{},"annotations":{"istio.io/dry-run":"true"}') : text;
}

const GROUPS = {
  Service: "",
  ServiceEntry: "networking.istio.io",
  Gateway: "gateway.networking.k8s.io",
  GatewayClass: "gateway.networking.k8s.io",
} as const;

function referenceTo({ kind, name }: Exclude<WorldPolicy["holds"], string>): object {
  return { kind, name, group: GROUPS[kind] };
}

function waypointIn(namespace: "m" | "w", { waypoints }: World): string {
  const { traffic, from } = waypoints[namespace];
  const selector = { matchLabels: { "kubernetes.io/metadata.name": from === "m" ? "m" : "nobody" } };
  const allowed = from === "m" || from === "other" ? { from: "Selector", selector } : { from };
  return waypointText({
    namespace,
    labels: traffic === undefined ? {} : { "istio.io/waypoint-for": traffic },
    ...(from === undefined ? {} : { allowedRoutes: { namespaces: allowed } }),
  });
}

export function worldText(world: World): string {
  return [
    namespaceText("m", { ...AMBIENT, ...world.namespaceLabels }),
    ambientPodText("m", "c", ADDRESSES.ambient),
    ambientPodText("m", "s", "10.1.0.2", world.podLabels),
    serviceOf("s", "10.96.0.1", world.serviceLabels),
    namespaceText("k", { "istio-injection": "enabled" }),
    podText("k", "c", { ip: ADDRESSES.sidecar }),
    podText("k", "bare", { ip: ADDRESSES.plain, labels: { "sidecar.istio.io/inject": "false" } }),
    INGRESS,
    waypointIn("m", world),
    waypointIn("w", world),
    waypointPodText("m", "wp", "10.1.0.9"),
    waypointPodText("w", "wp", "10.1.0.10"),
    world.strictTransport ? peerText("m", "strict", { mtls: { mode: "STRICT" } }) : "",
    ...world.policies.map(policyText),
  ].join("");
}

const CLIENTS = { ambient: "m/c", sidecar: "k/c", plain: "k/bare", gateway: "g/g" } as const;

export function requestFor({ client, to, port, protocol, method, path }: Question): AccessRequest {
  const container = port === 80 ? 8080 : port;
  return {
    from: { workload: CLIENTS[client] },
    to: to === "service" ? { service: "s.m", port } : { host: "10.1.0.2", port: container },
    protocol,
    method,
    path,
    host: "s.m",
  };
}
