/** Headers that a route sets on responses and HTTP/2 cannot carry must cost that response, never the process. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { SECRET, startMesh } from "./mesh-fixture.ts";

const MESH = (header: string) => `
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: grpc, port: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: a}
spec:
  hosts: [server]
  http: [{route: [{destination: {host: server}}], headers: {response: {set: {${header}}}}}]
`;

for (const [header, status] of [
  ["x-shown: yes", 200],
  ["connection: close", 502],
  ["transfer-encoding: chunked", 502],
] as const) {
  test(`a response on which a route sets \`${header}\` is answered ${status} over HTTP/2, and the next request too`, async (context) => {
    const mesh = await startMesh(context, MESH(header), {
      net: 58,
      httpServer: () => createHttp2Server((_request, response) => void response.end("ok")) as never,
    });
    const socket = connect(OUTBOUND_PROXY_PORT, mesh.pod("a/client").pod.address);
    const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
    socket.write(
      `CONNECT server.a:8080 HTTP/1.1\r\nhost: server.a:8080\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
    );
    await once(socket, "data");
    const session = connectHttp2("http://server.a:8080", { createConnection: () => socket });
    for (let round = 0; round < 2; round++) {
      const stream = session.request({ ":path": "/" });
      const [headers] = await once(stream, "response");
      assert.equal(headers[":status"], status);
      stream.resume();
      await once(stream, "close");
    }
    session.close();
  });
}
