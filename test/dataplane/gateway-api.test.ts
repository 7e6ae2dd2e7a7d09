/** Gateways and routes of the Kubernetes Gateway API, live. */
import assert from "node:assert/strict";
import { connect as connectTcp, type Socket } from "node:net";
import { test } from "node:test";
import { connect } from "node:tls";
import { provideStockGateways } from "../../src/substrate/stock-gateways.ts";
import { CertificateForge } from "../../tools/corpus/live-certificates.ts";
import { callThroughSidecar, readAnswer } from "./client.ts";
import { meshOf, type RunningMesh, startMesh } from "./mesh-fixture.ts";

const forge = CertificateForge.alone();

const MESH = `
apiVersion: v1
kind: Pod
metadata: {name: gw-istio, namespace: edge, labels: {gateway.networking.k8s.io/gateway-name: gw}}
spec: {serviceAccountName: gw-istio, containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: a, labels: {app: one}}
spec: {serviceAccountName: one, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: one, namespace: a}
spec: {selector: {app: one}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: a, labels: {app: two}}
spec: {serviceAccountName: two, containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 9001}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: two, namespace: a}
spec: {selector: {app: two}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9001, targetPort: 9001}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  gatewayClassName: istio
  listeners:
    - {name: http, port: 7080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
    - {name: https, port: 7443, protocol: HTTPS, hostname: "*.test", tls: {certificateRefs: [{name: cert}]}, allowedRoutes: {namespaces: {from: All}}}
    - {name: tcp, port: 7001, protocol: TCP, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: both, namespace: a}
spec:
  parentRefs: [{name: gw, namespace: edge}]
  hostnames: [both.test]
  rules:
    - matches: [{path: {value: /two}}]
      filters:
        - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
        - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-by, value: route}]}}
      backendRefs: [{name: two, port: 80}]
    - matches: [{path: {value: /gone}}]
      backendRefs: [{name: gone, port: 80}]
    - matches: [{path: {value: /half}}]
      backendRefs: [{name: one, port: 80}, {name: gone, port: 80}]
    - matches: [{path: {value: /moved}}]
      filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]
    - backendRefs: [{name: one, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: bytes, namespace: a}
spec:
  parentRefs: [{name: gw, namespace: edge}]
  rules: [{backendRefs: [{name: two, port: 9001}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inside, namespace: a}
spec:
  parentRefs: [{group: "", kind: Service, name: one}]
  rules:
    - matches: [{headers: [{name: x-canary, value: "1"}]}]
      backendRefs: [{name: two, port: 80}]
    - backendRefs: [{name: one, port: 80}]
`;

function certificate(): string {
  const { certificateChain, privateKey } = forge.pem(["both.test"]);
  return `\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: edge}\nstringData: ${JSON.stringify({ "tls.crt": certificateChain, "tls.key": privateKey })}\n`;
}

async function ask(socket: Socket, path: string, host = "both.test") {
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
  const answer = await readAnswer(socket);
  socket.destroy();
  return answer;
}

function clear(mesh: RunningMesh): Socket {
  return connectTcp(7080, mesh.pod("edge/gw-istio").pod.address);
}

function seenBy({ body }: { readonly body: string }): { workload: string; path: string } {
  return JSON.parse(body) as { workload: string; path: string };
}

test("HTTPRoutes are served: rewrites, redirects, headers, what leads nowhere; over TLS too", async (context) => {
  const mesh = await startMesh(context, MESH + certificate(), { net: 70 });
  const two = await ask(clear(mesh), "/two/x?q");
  assert.equal(two.status, 200);
  assert.match(two.head, /^x-by: route\r?$/m);
  assert.deepEqual([seenBy(two).workload, seenBy(two).path], ["a/two", "/x?q"]);
  assert.equal(seenBy(await ask(clear(mesh), "/")).workload, "a/one");
  assert.equal((await ask(clear(mesh), "/gone")).status, 500);
  const moved = await ask(clear(mesh), "/moved/x");
  assert.equal(moved.status, 301);
  assert.match(moved.head, /^location: https:\/\/both.test\/moved\/x\r?$/m);
  assert.equal((await ask(clear(mesh), "/", "other.test")).status, 404);
  const halves = new Set<number>();
  for (let round = 0; round < 40 && halves.size < 2; round++)
    halves.add((await ask(clear(mesh), "/half")).status);
  assert.deepEqual([...halves].sort(), [200, 500]);
  const secured = connect({
    host: mesh.pod("edge/gw-istio").pod.address,
    port: 7443,
    servername: "both.test",
    ca: forge.rootPem,
  });
  assert.equal(seenBy(await ask(secured, "/two")).workload, "a/two");
});

test("TCPRoutes carry bytes; a route of a service decides inside the mesh", async (context) => {
  const mesh = await startMesh(context, MESH + certificate(), { net: 71 });
  const socket = connectTcp(7001, mesh.pod("edge/gw-istio").pod.address);
  socket.write("hello");
  assert.equal(
    await new Promise((resolve) => socket.once("data", (chunk) => resolve(String(chunk)))),
    "hello",
  );
  socket.destroy();
  const call = (headers: string) =>
    callThroughSidecar(mesh.pod("a/two"), "GET", "http://one.a/", { headers });
  assert.equal(seenBy(await call("")).workload, "a/one");
  assert.equal(seenBy(await call("x-canary: 1\r\n")).workload, "a/two");
});

test("a Gateway without pods gets those that Istio would deploy, and no second ones", () => {
  const without = meshOf(MESH.slice(MESH.indexOf("---")));
  const { provided, resources } = provideStockGateways(without.resources);
  assert.deepEqual(provided, [{ workload: "edge/gw-istio", selectedBy: ["Gateway edge/gw"] }]);
  assert.deepEqual(
    resources
      .filter((resource) => !without.resources.includes(resource))
      .map(({ kind, name }) => [kind, name]),
    [
      ["ServiceAccount", "gw-istio"],
      ["Deployment", "gw-istio"],
      ["Service", "gw-istio"],
    ],
  );
  assert.deepEqual(provideStockGateways(resources).provided, []);
  assert.deepEqual(provideStockGateways(meshOf(MESH).resources).provided, []);
});
