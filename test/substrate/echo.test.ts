import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { PodAssignment } from "../../src/substrate/assignment.ts";
import { EchoSet, podEchoes, standInEchoes } from "../../src/substrate/echo/echo-server.ts";
import { parseForwardedClientCert } from "../../src/substrate/echo/forwarded-client-cert.ts";
import { probeListen } from "../../src/substrate/socket-probe.ts";
import { openStandInAuthority, STAND_IN_CA_FILE } from "../../src/substrate/stand-in-authority.ts";

const folder = mkdtempSync(join(tmpdir(), "echo-"));
const HOST = "127.77.3.9";
const pod: PodAssignment = {
  name: "web-0",
  workload: "shop/web",
  replica: 0,
  address: HOST,
  namespace: "shop",
  uid: "0",
  serviceAccount: "web",
  spiffeId: "spiffe://cluster.local/ns/shop/sa/web",
  role: "application",
  proxied: true,
  outboundSecret: "",
  applicationPorts: [
    { port: 8080, host: HOST, socketPort: 18_080, protocol: "http" },
    { port: 9000, host: HOST, socketPort: 19_000, protocol: "tcp" },
    { port: 7000, host: HOST, socketPort: 17_000, protocol: "auto" },
  ],
};
const warnings: string[] = [];
const echoes = new EchoSet({
  authority: openStandInAuthority(folder),
  onWarning: (message) => warnings.push(message),
});

before(async () => {
  const standIns = standInEchoes(
    { host: "*.ibm.com", address: HOST, ports: [{ port: 20_443, protocol: "tls" }] },
    0,
  );
  await echoes.apply([...podEchoes(pod), ...standIns]);
});
after(() => {
  echoes.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(
  path: string,
  options: { method?: string; body?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = "GET", body, headers = {} } = options;
    const sent = request(
      { host: HOST, port: 18_080, path, method, headers, agent: false },
      async (response) => {
        let text = "";
        for await (const chunk of response) text += String(chunk);
        resolve({ status: response.statusCode ?? 0, body: text });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

test("an echo answers HTTP/1.1 with what it saw, the peer as told by XFCC, and no credential", async () => {
  const answer = await ask("/accounts/7?x=1", {
    method: "POST",
    body: "12345",
    headers: {
      authorization: "Bearer secret-token",
      "x-forwarded-client-cert": 'By=spiffe://c/ns/shop/sa/web;Hash=aa;Subject="";URI=spiffe://c/ns/a/sa/b',
    },
  });
  assert.equal(answer.status, 200);
  const saw = JSON.parse(answer.body);
  assert.deepEqual(
    [saw.workload, saw.pod, saw.port, saw.method, saw.path, saw.protocol, saw.bodyBytes],
    ["shop/web", "shop/web-0", 8080, "POST", "/accounts/7?x=1", "HTTP/1.1", 5],
  );
  assert.deepEqual(saw.peer, [{ by: "spiffe://c/ns/shop/sa/web", uri: "spiffe://c/ns/a/sa/b", hash: "aa" }]);
  assert.doesNotMatch(answer.body, /secret-token/);
});

test("an echo gives back bodies, statuses and byte counts as asked", async () => {
  const big = "x".repeat(300_000);
  assert.equal((await ask("/echo", { method: "POST", body: big })).body, big);
  assert.equal((await ask("/status/418")).status, 418);
  assert.equal((await ask("/status/999")).status, 400);
  assert.deepEqual(await ask("/status/204"), { status: 204, body: "" });
  assert.equal((await ask("/bytes/200000")).body.length, 200_000);
  const from = performance.now();
  assert.equal((await ask("/delay/30")).status, 200);
  assert.ok(performance.now() - from >= 29);
});

test("an echo speaks HTTP/2 with prior knowledge on the same port, gRPC trailers included", async () => {
  const session = connectHttp2(`http://${HOST}:18080`);
  const stream = session.request({ ":path": "/x", ":method": "POST", "content-type": "application/grpc" });
  const trailers = once(stream, "trailers");
  stream.end("message");
  let body = "";
  for await (const chunk of stream) body += String(chunk);
  assert.equal(body, "message");
  assert.equal((await trailers)[0]["grpc-status"], "0");
  session.close();
});

async function exchange(socket: Socket, text: string): Promise<string> {
  socket.end(text);
  let got = "";
  for await (const chunk of socket) got += String(chunk);
  return got;
}

test("a port declared as TCP gives back bytes, HTTP or not, and keeps half-close", async () => {
  assert.equal(await exchange(connect(19_000, HOST), "GET / HTTP/1.1\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
  assert.equal(await exchange(connect(18_080, HOST), "\0binary"), "\0binary");
  assert.equal(
    await exchange(connect(18_080, HOST), "hello"),
    "hello",
    "what could still become a request line",
  );
});

/** Connects and sends a first part; returns once the echo has taken the connection in and read it, by the order of accepting. */
async function stalled(port: number, start: string): Promise<Socket> {
  const socket = connect(port, HOST);
  await once(socket, "connect");
  if (start !== "") socket.write(start);
  for (let round = 0; round < 3; round++) assert.equal(await exchange(connect(port, HOST), "\0"), "\0");
  return socket;
}

for (const port of [18_080, 17_000]) {
  for (const start of ["", "G", "GET", "GET ", "PRI * HTTP/2.0\r\n"]) {
    test(`an echo takes a request on port ${port} that stalled for an hour after ${JSON.stringify(start)} as HTTP`, async (context) => {
      context.mock.timers.enable({ apis: ["setTimeout"] });
      const socket = await stalled(port, start);
      context.mock.timers.tick(3_600_000);
      if (start.startsWith("PRI")) {
        socket.write("\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        const [settings] = await once(socket, "data");
        assert.equal(settings[3], 4, "a SETTINGS frame");
        socket.destroy();
        return;
      }
      const whole = "GET /stalled HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
      assert.match(await exchange(socket, whole.slice(start.length)), /^HTTP\/1.1 200 OK.*"\/stalled"/s);
    });
  }
}

test("an undeclared port gives a start back that no protocol begins with after a short while; one declared HTTP waits", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const undeclared = await stalled(17_000, "hello");
  const declared = await stalled(18_080, "hello");
  let early = "";
  declared.on("data", (chunk) => {
    early += String(chunk);
  });
  context.mock.timers.tick(3_600_000);
  const [given] = await once(undeclared, "data");
  assert.equal(String(given), "hello");
  undeclared.destroy();
  assert.equal(await exchange(connect(18_080, HOST), "\0"), "\0");
  assert.equal(early, "");
  declared.destroy();
});

test("an echo gives back WebSocket frames and answers close", async () => {
  const socket = new WebSocket(`ws://${HOST}:18080/chat`);
  await once(socket, "open");
  const messages: unknown[] = [];
  socket.addEventListener("message", (event) => messages.push(event.data));
  socket.send("hello");
  socket.send("y".repeat(70_000));
  while (messages.length < 2) await once(socket, "message");
  socket.close(1000);
  await once(socket, "close");
  assert.deepEqual(messages, ["hello", "y".repeat(70_000)]);
});

test("a stand-in has a certificate for the name that is asked, from its own CA, and says who it is", async () => {
  const ca = readFileSync(join(folder, STAND_IN_CA_FILE));
  const socket = connectTls({ host: HOST, port: 20_443, servername: "deep.www.ibm.com", ca });
  await once(socket, "secureConnect");
  assert.equal(socket.authorized, true);
  socket.write("GET / HTTP/1.1\r\nhost: www.ibm.com\r\nconnection: close\r\n\r\n");
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  const saw = JSON.parse(text.slice(text.indexOf("{")));
  assert.deepEqual([saw.standIn, saw.sni, saw.host], ["*.ibm.com", "deep.www.ibm.com", "www.ibm.com"]);
  const stranger = connectTls({ host: HOST, port: 20_443, servername: "www.ibm.com" });
  const [error] = await once(stranger, "error");
  assert.match(String(error.code), /SELF_SIGNED|UNABLE_TO/);
});

test("a stand-in speaks HTTP/2 by ALPN, and opaque bytes inside TLS", async () => {
  const ca = readFileSync(join(folder, STAND_IN_CA_FILE));
  const session = connectHttp2(`https://${HOST}:20443`, { servername: "a.ibm.com", ca });
  const stream = session.request({ ":path": "/", ":authority": "a.ibm.com" });
  let body = "";
  for await (const chunk of stream) body += String(chunk);
  const saw = JSON.parse(body);
  assert.deepEqual([saw.protocol, saw.sni], ["HTTP/2.0", "a.ibm.com"]);
  session.close();
  const raw = connectTls({ host: HOST, port: 20_443, servername: "mongo.ibm.com", ca });
  await once(raw, "secureConnect");
  assert.equal(await exchange(raw, "\x01\x02mongo"), "\x01\x02mongo");
});

test("the stand-ins' CA is kept, and its key file is closed to others", () => {
  const before = readFileSync(join(folder, STAND_IN_CA_FILE), "utf8");
  openStandInAuthority(folder);
  assert.equal(readFileSync(join(folder, STAND_IN_CA_FILE), "utf8"), before);
  assert.equal(statSync(join(folder, "ca-with-key.pem")).mode & 0o777, 0o600);
});

test("EchoSet closes what is not wanted any more and leaves the rest alone", async () => {
  const set = new EchoSet({ authority: openStandInAuthority(folder), onWarning: () => {} });
  const [first, second] = podEchoes({
    ...pod,
    applicationPorts: pod.applicationPorts.map((entry) => ({ ...entry, socketPort: entry.socketPort + 5 })),
  });
  assert.ok(first !== undefined && second !== undefined);
  await set.apply([first, second]);
  const kept = connect(second.port, HOST);
  await once(kept, "connect");
  await set.apply([second]);
  assert.equal(await probeListen(HOST, first.port), "free");
  assert.equal(await exchange(kept, "still"), "still");
  set.close();
  assert.deepEqual(warnings, []);
});

test("EchoSet tells that all of it listens only when what was taken has come free and listens, too", async () => {
  const taken = createServer().listen(29_100, HOST);
  await once(taken, "listening");
  let told = 0;
  const said: string[] = [];
  const listening = Promise.withResolvers<void>();
  const set = new EchoSet({
    authority: openStandInAuthority(folder),
    onWarning: (message) => said.push(message),
    onListening: () => {
      told++;
      listening.resolve();
    },
  });
  const ports = [29_100, 29_101].map((socketPort) => ({
    port: socketPort,
    host: HOST,
    socketPort,
    protocol: "http" as const,
  }));
  await set.apply(podEchoes({ ...pod, applicationPorts: ports }));
  assert.equal(told, 0);
  assert.match(said.join(), /cannot listen on .*:29100: EADDRINUSE/);
  taken.close();
  await listening.promise;
  for (const { socketPort } of ports) assert.equal(await probeListen(HOST, socketPort), "EADDRINUSE");
  set.close();
});

test("parseForwardedClientCert() keeps separators inside quotes, and reads every element", () => {
  assert.deepEqual(parseForwardedClientCert('By=a;Subject="CN=x,O=\\"y;z\\"";URI=b,By=c;URI=d'), [
    { by: "a", uri: "b" },
    { by: "c", uri: "d" },
  ]);
  assert.deepEqual(parseForwardedClientCert(""), []);
});
