/** Trailers that come before anybody has a connection onwards: Node tells of them once. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { SECRET, startMesh } from "./mesh-fixture.ts";

const MESH = `
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
`;

test("a request's trailers reach the server, also of the first request, which is there whole before the way onwards is", async (context) => {
  const mesh = await startMesh(context, MESH, {
    net: 59,
    httpServer: () =>
      createHttp2Server((request, response) => {
        request.resume();
        request.once("end", () =>
          setImmediate(() => {
            response.setHeader("x-sum", String(request.trailers["x-sum"]));
            response.end("ok");
          }),
        );
      }) as never,
  });
  const socket = connect(OUTBOUND_PROXY_PORT, mesh.pod("a/client").pod.address);
  const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
  socket.write(
    `CONNECT server.a:8080 HTTP/1.1\r\nhost: server.a:8080\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  await once(socket, "data");
  const session = connectHttp2("http://server.a:8080", { createConnection: () => socket });
  for (let round = 0; round < 3; round++) {
    const stream = session.request({ ":path": "/", ":method": "POST" }, { waitForTrailers: true });
    stream.once("wantTrailers", () => stream.sendTrailers({ "x-sum": `${round}` }));
    stream.end("hello");
    const [headers] = await once(stream, "response");
    assert.equal(headers["x-sum"], `${round}`);
    stream.resume();
    await once(stream, "close");
  }
  session.close();
});
