/** Headers that only proxies may write are judged as they are sent on, never as the client sent them. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { requestOverTls } from "./client.ts";
import { startMesh } from "./mesh-fixture.ts";

const ADMIN = "By=x;URI=spiffe://cluster.local/ns/x/sa/admin";
const RULES = `
  rules:
    - when: [{key: "request.headers[x-forwarded-client-cert]", values: ["*"]}]
    - when: [{key: "request.headers[x-envoy-external-address]", values: ["1.2.3.4"]}]
    - when: [{key: "request.headers[x-good]", values: ["yes"]}]
`;
const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: a, labels: {istio: gw}, annotations: {inject.istio.io/templates: gateway}}
spec: {serviceAccountName: gw, containers: [{name: proxy, image: auto}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec:
  selector: {istio: gw}
  servers: [{port: {number: 7080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: a}
spec:
  hosts: ["*"]
  gateways: [gw]
  http: [{directResponse: {status: 200, body: {string: in}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: gw, namespace: a}
spec:
  selector: {matchLabels: {istio: gw}}
${RULES}    - when: [{key: "request.headers[x-forwarded-for]", values: ["1.2.3.4"]}]
    - when: [{key: "request.headers[x-forwarded-proto]", values: ["https"]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: server, namespace: a}
spec:
  selector: {matchLabels: {app: server}}
  rules:
    - when: [{key: "request.headers[x-forwarded-client-cert]", values: ["*"]}]
    - when: [{key: "request.headers[x-good]", values: ["yes"]}]
`;

test("what a client forges in headers that are the proxy's own satisfies no policy", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 69 });
  const ask = async (pod: string, port: number, line: string) => {
    const request = `GET / HTTP/1.1\r\nhost: server.a\r\n${line}connection: close\r\n\r\n`;
    return (await requestOverTls(connect(port, mesh.pod(pod).pod.address), request)).status;
  };
  const forged = [
    `x-forwarded-client-cert: ${ADMIN}\r\n`,
    "x-forwarded-for: 1.2.3.4\r\n",
    "x-forwarded-proto: https\r\n",
    "x-envoy-external-address: 1.2.3.4\r\n",
    "connection: x-good\r\nx-good: yes\r\n",
  ];
  for (const line of forged) assert.equal(await ask("a/gw", 7080, line), 403, line);
  assert.equal(await ask("a/gw", 7080, "x-good: yes\r\n"), 200);
  assert.equal(await ask("a/server", 8080, `x-forwarded-client-cert: ${ADMIN}\r\n`), 403);
  assert.equal(await ask("a/server", 8080, "x-good: yes\r\n"), 200);
});
