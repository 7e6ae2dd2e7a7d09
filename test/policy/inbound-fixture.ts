/** Small meshes, connections and requests for tests of the inbound policy. */
import { buildMesh, findWorkload } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { Connection, type ConnectionInput } from "../../src/policy/connection.ts";
import { HttpRequest } from "../../src/policy/http-request.ts";
import { compileInbound, type InboundPolicy, type Semantics } from "../../src/policy/inbound.ts";
import type { Resource } from "../../src/resources/resource.ts";

/** A resource as the loader would give it. */
export function resource(
  kind: string,
  name: string,
  spec: unknown,
  rest: {
    namespace?: string;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
    createdAt?: number;
    body?: Record<string, unknown>;
  } = {},
): Resource {
  return {
    apiVersion: API_VERSIONS[kind] ?? "v1",
    kind,
    name,
    namespace: rest.namespace ?? "foo",
    labels: rest.labels ?? {},
    annotations: rest.annotations ?? {},
    createdAt: rest.createdAt ?? 0,
    spec,
    body: rest.body ?? {},
    locate: () => ({ file: "test", line: 1, column: 1, endLine: 1, endColumn: 1 }),
  };
}

const API_VERSIONS: Readonly<Record<string, string>> = {
  AuthorizationPolicy: "security.istio.io/v1",
  PeerAuthentication: "security.istio.io/v1",
  RequestAuthentication: "security.istio.io/v1",
  Sidecar: "networking.istio.io/v1",
  VirtualService: "networking.istio.io/v1",
  Gateway: "networking.istio.io/v1",
};

/** Port 8080 is declared HTTP, 9000 TCP, 7000 is to be detected, others are not declared. */
const WORKLOAD: readonly Resource[] = [
  resource(
    "Pod",
    "httpbin",
    {},
    {
      body: {
        metadata: { labels: { app: "httpbin" } },
        spec: { serviceAccountName: "httpbin" },
        status: { podIP: "10.20.0.5" },
      },
      labels: { app: "httpbin" },
    },
  ),
  resource("Service", "httpbin", {
    clusterIP: "10.96.0.5",
    selector: { app: "httpbin" },
    ports: [
      { name: "http", port: 80, targetPort: 8080 },
      { name: "tcp-raw", port: 9000 },
      { name: "auto", port: 7000 },
    ],
  }),
];

export function meshConfig(mesh: string): Resource {
  return resource("ConfigMap", "istio", undefined, { namespace: "istio-system", body: { data: { mesh } } });
}

export function meshOf(...resources: readonly Resource[]): Mesh {
  return buildMesh([...WORKLOAD, ...resources]);
}

export function policyOf(resources: readonly Resource[], semantics: Semantics = "istio"): InboundPolicy {
  const mesh = meshOf(...resources);
  const workload = findWorkload(mesh, "foo/httpbin");
  if (workload === undefined) throw new Error("BUG: the fixture has no workload");
  return compileInbound(mesh, workload, { semantics });
}

export function authorization(
  name: string,
  spec: Record<string, unknown>,
  rest: { namespace?: string; annotations?: Record<string, string> } = {},
): Resource {
  return resource("AuthorizationPolicy", name, spec, rest);
}

export const SLEEP = "cluster.local/ns/foo/sa/sleep";
export const MESH_HTTP_ALPN: readonly string[] = ["istio-http/1.1", "istio", "http/1.1"];

/** Mutual TLS from foo's sleep to port 8080, unless told otherwise. */
export function connect(input: Partial<ConnectionInput> = {}): Connection {
  const principal = input.principal === undefined ? SLEEP : input.principal;
  return new Connection({
    tls: principal === null ? "plaintext" : "mtls",
    principal,
    sourceIp: "10.1.0.5",
    destinationIp: "10.20.0.5",
    destinationPort: 8080,
    alpn: principal === null ? [] : MESH_HTTP_ALPN,
    ...input,
  });
}

export function get(
  path: string,
  headers: readonly string[] = [],
  method = "GET",
  host = "app",
): HttpRequest {
  const request = HttpRequest.read("BASE", method, path, host, headers);
  if (request === null) throw new Error(`BUG: ${path} is no request`);
  return request;
}
