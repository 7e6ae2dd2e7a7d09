/** Which chain takes a connection by the names that its client offers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { tlsCredentials } from "../../src/identity/rotation.ts";
import { type RunningMesh, startMesh } from "./mesh-fixture.ts";

const UNDECLARED = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: a}
spec:
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 9001}]}]}
`;

/** Opens the mesh's TLS to the server's port and sends bytes that are no HTTP. */
async function answerTo(mesh: RunningMesh, alpn: readonly string[]): Promise<string> {
  const { pod, identity } = mesh.pod("a/server");
  const svid = identity.current ?? assert.fail("no certificate");
  const socket: TLSSocket = connectTls({
    ...tlsCredentials(svid),
    host: pod.address,
    port: 9001,
    ALPNProtocols: [...alpn],
    checkServerIdentity: () => undefined,
  });
  socket.on("error", () => {});
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      socket.end();
    });
    socket.once("close", () => resolve(text));
    socket.write("hello\r\n\r\n");
  });
}

test("a port of undeclared protocol takes mutual TLS as HTTP or TCP by the first of the client's names that the mesh knows", async (context) => {
  const mesh = await startMesh(context, UNDECLARED, { net: 47 });
  for (const [alpn, expected] of [
    [["istio"], /^hello/],
    [["istio-peer-exchange", "istio"], /^hello/],
    [["istio", "istio-http/1.1"], /^hello/],
    [["http/1.1", "istio", "istio-h2"], /^hello/],
    [["istio-http/1.1"], /^HTTP\/1\.1 400 /],
    [["istio-http/1.1", "istio"], /^HTTP\/1\.1 400 /],
    [["http/1.1", "istio-http/1.1", "istio"], /^HTTP\/1\.1 400 /],
  ] as const)
    assert.match(await answerTo(mesh, alpn), expected, alpn.join(", "));
});
