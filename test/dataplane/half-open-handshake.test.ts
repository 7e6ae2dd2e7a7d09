/** Clients that end their half of a connection before the handshake is done: nothing more can come, so nothing is waited for. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { clientHello } from "../../src/attack/client-hello-bytes.ts";
import { type RunningPod, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

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
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 9001}, {containerPort: 9002}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: tcp, port: 9001}, {name: tcp-open, port: 9002}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: server, namespace: a}
spec: {selector: {matchLabels: {app: server}}, mtls: {mode: STRICT}, portLevelMtls: {9002: {mode: PERMISSIVE}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec:
  selector: {istio: gw}
  servers:
    - {port: {number: 7443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: ISTIO_MUTUAL}}
`;

/** Sends bytes and ends this half. Settles when the server has closed too. */
function sendAndEnd({ pod }: RunningPod, port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: pod.address, allowHalfOpen: true }, () => socket.end(bytes));
    socket.on("error", () => {});
    socket.resume();
    socket.once("end", () => socket.destroy());
    socket.once("close", () => resolve());
  });
}

test("a client that ends its half inside a handshake is closed and recorded at once, sidecars and gateways alike", {
  timeout: 20_000,
}, async (context) => {
  // No time-out could end these connections while the test runs.
  const limits = { handshakeTimeoutMs: 600_000, headTimeoutMs: 600_000 };
  const mesh = await startMesh(context, MESH, { net: 49, limits });
  const hello = await clientHello("any.test");
  const half = hello.subarray(0, hello.length / 2);
  const unfinished = [half, hello, Buffer.from([0x16])];
  for (const [pod, port, starts] of [
    ["a/server", 9001, unfinished],
    // What is no ClientHello, or one of a stranger, passes here as bytes.
    ["a/server", 9002, [half]],
    ["a/gw", 7443, unfinished],
  ] as const) {
    const { flows, proxy } = mesh.pod(pod);
    for (const bytes of starts) {
      flows.length = 0;
      await sendAndEnd(mesh.pod(pod), port, bytes);
      const what = `${pod}:${port} after ${bytes.length} bytes`;
      await until(() => proxy.stats().openConnections === 0, `${what} closed`);
      await until(() => flows.length === 1, `one record of ${what}, not ${JSON.stringify(flows)}`);
      assert.notEqual(flows[0]?.verdict, "allow", what);
    }
  }
});
