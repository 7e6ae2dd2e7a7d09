import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { AmbientFixture, converse, eventually, isOver } from "./ambient-fixture.ts";
import { HboneClient } from "./hbone-client.ts";

const POD = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: team-a, labels: {app: ${name}}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---
`;
const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {istio.io/dataplane-mode: ambient}}
---
${POD("client")}${POD("server")}
`;
const net = 226;
const client = "127.226.0.1";
const server = "127.226.0.2";

function dialTunnels(): Socket {
  const socket = connect({ host: server, port: 15008, localAddress: client, allowHalfOpen: true });
  return socket.on("error", () => {}).resume();
}

async function serves(fixture: AmbientFixture): Promise<void> {
  const heard = await converse(fixture.dial("team-a/client", { ip: server, port: 9000 }), "still here");
  assert.equal(heard.bytes.toString(), "still here");
}

test("bytes that are no TLS on the tunnels' port end the connection with a record each, and nobody else's", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const openings = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `CONNECT ${server}:9000 HTTP/1.1\r\nHost: ${server}:9000\r\n\r\n`,
    Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0xff]),
    Buffer.alloc(70_000, 0x16),
    randomBytes(4096),
  ];
  for (const bytes of openings) {
    fixture.flows.length = 0;
    const socket = dialTunnels();
    socket.write(bytes);
    await eventually(() => isOver(socket), "the connection to end");
    socket.destroy();
    const flow = await fixture.flow(({ direction }) => direction === "inbound");
    assert.deepEqual([flow.kind, flow.verdict === "allow"], ["handshake", false]);
  }
  assert.deepEqual(fixture.callers, []);
  await serves(fixture);
});

test("clients that say nothing, stop in the middle of a handshake, or end their half are let go, and others are served meanwhile", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net, limits: { handshakeTimeoutMs: 6000 } });
  const silent = dialTunnels();
  const stopped = dialTunnels();
  stopped.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
  const ended = dialTunnels();
  ended.end(Buffer.from([0x16, 0x03, 0x01]));
  await serves(fixture);
  for (const socket of [silent, stopped, ended]) {
    await eventually(() => isOver(socket), "the connection to end");
    socket.destroy();
  }
  await eventually(
    () => fixture.flows.filter(({ kind }) => kind === "handshake").length === 3,
    "a record for each",
  );
});

test("garbage inside of an agreed connection ends that connection alone", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const svid = (await fixture.source(fixture.pod("team-a/client").spiffeId)).current;
  assert.ok(svid !== undefined);
  for (const bytes of [
    randomBytes(1000),
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x01\xff\xff"),
  ]) {
    const socket = await HboneClient.secured(svid, { host: server, from: client });
    socket.on("error", () => {}).resume();
    socket.write(bytes);
    if (bytes.length < 100) socket.end();
    await eventually(() => isOver(socket), "the connection to end");
  }
  await serves(fixture);
});

test("a tunnel keeps each half open as long as its end does, and a client that breaks off takes the application's connection along", async (context) => {
  const applications: Socket[] = [];
  const fixture = await AmbientFixture.start(context, MESH, {
    net,
    application: (socket) => {
      applications.push(socket);
      socket.resume().once("end", () => socket.end("after your end"));
    },
  });
  const to = { ip: server, port: 9000 };
  assert.equal((await converse(fixture.dial("team-a/client", to), "x")).bytes.toString(), "after your end");
  const broken = fixture.dial("team-a/client", to);
  broken.on("error", () => {}).write("x");
  await eventually(() => applications.length === 2, "the application to be called");
  broken.resetAndDestroy();
  await eventually(() => applications[1]?.destroyed === true, "the application's connection to end");
  const flow = await fixture.flow(
    ({ direction, reason }) => direction === "inbound" && reason === "client-reset",
  );
  assert.equal(flow.destination?.workload, "team-a/server");
});

test("an application that reads nothing holds its client back, not the ztunnel's memory", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, {
    net,
    application: (socket) => void socket.pause(),
  });
  const socket = fixture.dial("team-a/client", { ip: server, port: 9000 });
  socket.on("error", () => {});
  const block = Buffer.alloc(1 << 20);
  let accepted = 0;
  const onWritten = (): void => {
    accepted += 1;
  };
  const write = (): void => {
    while (accepted < 256 && socket.writableLength <= 4 * block.length) socket.write(block, onWritten);
  };
  socket.on("drain", write);
  write();
  const seen: number[] = [];
  await eventually(() => {
    seen.push(accepted);
    return seen.length > 100 && seen.at(-1) === seen.at(-60);
  }, "the client to be held back");
  assert.ok(accepted < 128, `${accepted} MiB were taken of a client that nobody reads`);
  socket.destroy();
});
