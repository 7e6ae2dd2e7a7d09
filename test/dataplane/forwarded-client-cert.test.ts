/** X-Forwarded-Client-Cert at the server's sidecar: Envoy's APPEND_FORWARD. What gateways do of it: edge-tls.test.ts. */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { tlsCredentials } from "../../src/identity/rotation.ts";
import { requestOverTls } from "./client.ts";
import { type RunningMesh, startMesh, svidSource } from "./mesh-fixture.ts";

const SERVER = `
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: a}
spec:
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
`;
const SERVER_ID = "spiffe://cluster.local/ns/a/sa/server";
const CLIENT_ID = "spiffe://cluster.local/ns/a/sa/client";
const ADMIN = "URI=spiffe://cluster.local/ns/x/sa/admin";

/** What the application sees of the header where the client sends this. */
async function seen(socket: Socket, sent: string | undefined): Promise<string | undefined> {
  const line = sent === undefined ? "" : `x-forwarded-client-cert: ${sent}\r\n`;
  const request = `GET / HTTP/1.1\r\nhost: server.a\r\n${line}connection: close\r\n\r\n`;
  const { status, body } = await requestOverTls(socket, request);
  assert.equal(status, 200);
  const { headers } = JSON.parse(body) as { headers: Record<string, string> };
  return headers["x-forwarded-client-cert"];
}

function addressOf(mesh: RunningMesh): { host: string; port: number } {
  return { host: mesh.pod("a/server").pod.address, port: 8080 };
}

/** A client of the mesh, and its element. */
async function clientOf(context: TestContext, mesh: RunningMesh): Promise<{ own: string; dial(): Socket }> {
  const source = svidSource(mesh.ca, CLIENT_ID, 600);
  await source.start();
  context.after(() => source.stop());
  assert.ok(source.current !== undefined);
  const credentials = tlsCredentials(source.current);
  const { raw } = new X509Certificate(credentials.cert as string);
  const hash = createHash("sha256").update(raw).digest("hex");
  return {
    own: `By=${SERVER_ID};Hash=${hash};Subject="";URI=${CLIENT_ID}`,
    dial: () =>
      connectTls({
        ...addressOf(mesh),
        ...credentials,
        ALPNProtocols: ["istio-http/1.1"],
        checkServerIdentity: () => undefined,
      }),
  };
}

test("sidecars append their client's element to X-Forwarded-Client-Cert and forward those before it", async (context) => {
  const mesh = await startMesh(context, SERVER, { net: 66 });
  const { own, dial } = await clientOf(context, mesh);
  assert.equal(await seen(dial(), undefined), own);
  assert.equal(await seen(dial(), ""), own);
  assert.equal(await seen(dial(), `${ADMIN}\r\nx-forwarded-client-cert: `), `${ADMIN},${own}`);
  assert.equal(await seen(dial(), ADMIN), `${ADMIN},${own}`);
  const quoted = `Subject="CN=a,b";${ADMIN}`;
  assert.equal(await seen(dial(), quoted), `${quoted},${own}`);
});

test("what would swallow the element that a sidecar appends to X-Forwarded-Client-Cert is left out", async (context) => {
  const mesh = await startMesh(context, SERVER, { net: 67 });
  const { own, dial } = await clientOf(context, mesh);
  for (const open of [`${ADMIN};Subject="`, `Subject="a\\";${ADMIN}`, `Subject="a\\"b";${ADMIN}`])
    assert.equal(await seen(dial(), open), own, open);
});

test("without a client certificate no X-Forwarded-Client-Cert reaches the application, whatever is sent", async (context) => {
  const mesh = await startMesh(context, SERVER, { net: 68 });
  for (const sent of [undefined, ADMIN]) assert.equal(await seen(connect(addressOf(mesh)), sent), undefined);
});
