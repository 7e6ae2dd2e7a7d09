/** A gateway in namespace edge, two applications in foo, and what a test adds to them. */
import type { Mesh } from "../../../src/model/mesh.ts";
import { compileGateway } from "../../../src/policy/outbound/compile-gateway.ts";
import type { GatewayPolicy, OutboundDecision, Semantics } from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const BASE = `${app("foo", "web")}${app("foo", "other")}
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: edge}
spec: {selector: {app: gw}, ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: edge}
spec:
  template:
    metadata: {labels: {app: gw}, annotations: {inject.istio.io/templates: gateway}}
    spec: {serviceAccountName: gw, containers: [{name: istio-proxy, image: auto}]}
---
`;

export function gatewayMesh(yaml: string): Mesh {
  return meshOf(BASE + yaml);
}

export function gatewayOf(yaml: string, semantics?: Semantics): GatewayPolicy {
  const mesh = gatewayMesh(yaml);
  return compileGateway(mesh, workloadOf(mesh, "edge/gw"), semantics === undefined ? {} : { semantics });
}

/** A Gateway named front that selects it. */
export function gateway(servers: string, namespace = "edge", name = "front"): string {
  return `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {app: gw}
  servers: ${servers}
---
`;
}

export function virtualService(name: string, spec: string, namespace = "foo"): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;
}

export const FRONT = "Gateway edge/front";

/** What a gateway answers to a connection that it has nothing for. */
export function refused(resource: string | null, listener: string, cause: string): unknown {
  const by = { resource, section: "default", route: null };
  return { kind: "refuse", allowed: false, code: 0, reason: "no-route", by, listener, cause };
}

export function get(
  policy: GatewayPolicy,
  port: number,
  authority: string,
  path = "/",
  sni?: string,
): OutboundDecision {
  const name = sni === undefined ? {} : { sni };
  return policy.routeHttp({ port, authority, method: "GET", path, headers: [], ...name });
}

/** The name of the cluster, or the cause (or reason) of a refusal. */
export function answer(decision: OutboundDecision): string | undefined {
  if (decision.kind === "forward") return decision.targets[0]?.name;
  return decision.kind === "refuse" ? (decision.cause ?? decision.reason) : `${decision.code}`;
}
