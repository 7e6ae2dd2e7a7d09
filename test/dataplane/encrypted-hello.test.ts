/** TLS whose real server name nobody can read leaves the mesh neither by a gateway nor straight from a sidecar. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { clientHello, withEncryptedHello } from "../../src/attack/client-hello-bytes.ts";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { type RunningPod, SECRET, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const MESH = `
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 9001}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: tls, port: 9001}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: a}
spec: {hosts: [outside.test], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 9443, name: tls, protocol: TLS}]}
`;
const OUTSIDE = "127.59.9.9";

async function throughSidecar(from: RunningPod, target: string, bytes: Buffer): Promise<Buffer> {
  const socket = connect(OUTBOUND_PROXY_PORT, from.pod.address);
  const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
  socket.write(
    `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  await once(socket, "data");
  let received: Buffer = Buffer.alloc(0);
  socket
    .on("error", () => {})
    .on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= bytes.length) socket.destroy();
    });
  socket.write(bytes);
  await once(socket, "close");
  return received;
}

test("a sidecar refuses an encrypted ClientHello that goes straight out, GREASE or not, and records why", async (context) => {
  const outside = createServer((socket: Socket) => socket.on("error", () => {}).pipe(socket));
  outside.listen(9443, OUTSIDE);
  await once(outside, "listening");
  context.after(() => outside.close());
  const mesh = await startMesh(context, MESH, {
    net: 59,
    standIns: [{ host: "outside.test", address: OUTSIDE }],
  });
  const client = mesh.pod("a/client");
  const hello = await clientHello("outside.test");
  assert.deepEqual(await throughSidecar(client, "outside.test:9443", hello), hello);
  await until(() => client.flows.length === 1, "the record of what is allowed");
  client.flows.length = 0;
  // By name; and by an address that nothing is declared for, which ALLOW_ANY lets out.
  for (const target of ["outside.test:9443", `${OUTSIDE}:9443`]) {
    const answer = await throughSidecar(client, target, withEncryptedHello(hello));
    assert.equal(answer.length, 0, target);
    await until(() => client.flows.length === 1, `the record of ${target}`);
    const [{ verdict, reason, layer, explanation } = {}] = client.flows;
    assert.deepEqual([verdict, reason, layer], ["deny", "sni-encrypted", "client-route"]);
    assert.match(explanation?.join() ?? "", /GREASE.*Chrome.*Switch both off/);
    client.flows.length = 0;
  }
  const inside = withEncryptedHello(await clientHello("server.a"));
  assert.deepEqual(
    await throughSidecar(client, "server.a:9001", inside),
    inside,
    "inside nobody needs the name",
  );
});
