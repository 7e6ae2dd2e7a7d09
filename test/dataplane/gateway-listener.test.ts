/** What a gateway does with the first bytes at each kind of server. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { clientHello } from "../../src/attack/client-hello-bytes.ts";
import { type RunningPod, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const GATEWAY = `
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
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 9001}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: tcp, port: 9001, targetPort: 9001}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec:
  selector: {istio: gw}
  servers:
    - {port: {number: 7000, name: tcp, protocol: TCP}, hosts: ["*"]}
    - {port: {number: 7080, name: http, protocol: HTTP}, hosts: ["*"]}
    - {port: {number: 7443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: ISTIO_MUTUAL}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: a}
spec:
  hosts: ["*"]
  gateways: [gw]
  tcp: [{route: [{destination: {host: server.a.svc.cluster.local, port: {number: 9001}}}]}]
`;

/** Sends bytes and reads as many back; fewer when the gateway closes. */
function exchange({ pod }: RunningPod, port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    let received: Buffer = Buffer.alloc(0);
    const socket = connect(port, pod.address, () => socket.write(bytes));
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= bytes.length) socket.destroy();
    });
    socket.once("close", () => resolve(received));
  });
}

test("a gateway's TCP server passes on whatever comes, TLS included; an HTTP server takes no TLS, a TLS server no plaintext", async (context) => {
  const mesh = await startMesh(context, GATEWAY, { net: 48 });
  const gateway = mesh.pod("a/gw");
  const hello = await clientHello("any.test");
  const refused = (port: number, reason: string) =>
    until(
      () => gateway.flows.some((flow) => flow.destination?.port === port && flow.reason === reason),
      `the record of ${reason}`,
    );
  assert.deepEqual(await exchange(gateway, 7000, hello), hello);
  assert.equal((await exchange(gateway, 7000, Buffer.from("plain\n"))).toString(), "plain\n");
  assert.equal((await exchange(gateway, 7080, hello)).length, 0);
  await refused(7080, "tls-to-plaintext-port");
  assert.equal((await exchange(gateway, 7443, Buffer.from("plain\n"))).length, 0);
  await refused(7443, "plaintext-to-tls-port");
});
