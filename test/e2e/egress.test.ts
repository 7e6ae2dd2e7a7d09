import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { connectAdmin } from "../../src/control/control-link.ts";
import { choosePod } from "../../src/control/find-pod.ts";
import type { CallOutcome } from "../../src/control/run-call.ts";
import type { Assignments } from "../../src/substrate/assignment.ts";
import { until } from "../control/until.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const A = "team-a/app-a";
const B = "team-b/app-b";
const GATEWAY = "istio-egress/istio-egressgateway";
const files = mkdtempSync(join(tmpdir(), "egress-"));
let mesh: TestMesh;

before(async () => {
  cpSync("../shared/scenarios/egress", files, { recursive: true });
  mesh = await startMesh([files, "--simulate-external"]);
});
after(async () => {
  assert.equal(await mesh.stop(), 0);
  removeState(mesh);
  rmSync(files, { recursive: true, force: true });
});

function standInOf({ answer }: CallOutcome): Record<string, unknown> {
  return JSON.parse(answer.body.toString("utf8"));
}

function assertRefusedBy(outcome: CallOutcome, reporter: string): void {
  assert.deepEqual([outcome.result, outcome.account.refusal?.reporter], ["refused", reporter]);
  assert.equal(outcome.answer.status, 0);
}

test("A reaches www.ibm.com from both replicas, B reaches mongo1.composedb.com: the application's own TLS, end to end", async () => {
  const [first, second, mongo] = await Promise.all([
    mesh.call(A, "https://www.ibm.com/"),
    mesh.call(A, "https://www.ibm.com/", {}, 1),
    mesh.call(B, "https://mongo1.composedb.com/"),
  ]);
  for (const outcome of [first, second, mongo])
    assert.deepEqual([outcome.result, outcome.answer.status], ["answered", 200]);
  assert.deepEqual([standInOf(first).standIn, standInOf(first).sni], ["*.ibm.com", "www.ibm.com"]);
  assert.deepEqual(
    [standInOf(mongo).standIn, standInOf(mongo).sni],
    ["mongo1.composedb.com", "mongo1.composedb.com"],
  );
});

test("a wildcard is reached by the name that the application asked for", async () => {
  const outcome = await mesh.call(A, "https://cloud.ibm.com/");
  assert.deepEqual([outcome.result, standInOf(outcome).sni], ["answered", "cloud.ibm.com"]);
});

test("A's mongo1 and B's ibm are refused at the gateway, with its policy's word", async () => {
  const [mongo, ibm] = await Promise.all([
    mesh.call(A, "https://mongo1.composedb.com/"),
    mesh.call(B, "https://www.ibm.com/"),
  ]);
  for (const outcome of [mongo, ibm]) {
    assertRefusedBy(outcome, GATEWAY);
    assert.deepEqual(
      [outcome.account.refusal?.layer, outcome.account.refusal?.reason],
      ["authorization", "no-allow-matched"],
    );
  }
});

test("a host that nobody registered is refused by the caller's own sidecar", async () => {
  const [tls, http, port] = await Promise.all([
    mesh.call(A, "https://www.example.org/"),
    mesh.call(A, "http://www.example.org/"),
    mesh.call(A, "tls://www.ibm.com:8443"),
  ]);
  assertRefusedBy(tls, A);
  assert.deepEqual([http.result, http.account.refusal?.reporter], ["refused", A]);
  assertRefusedBy(port, A);
});

test("an SNI that is not the host, and none at all, get nowhere", async () => {
  const spoofed = await mesh.call(A, "https://www.ibm.com/", {
    serverName: "mongo1.composedb.com",
    insecure: true,
  });
  assertRefusedBy(spoofed, GATEWAY);
  const missing = await mesh.call(A, "https://www.ibm.com/", { serverName: "", insecure: true });
  assertRefusedBy(missing, A);
  const opaque = await mesh.call(A, "tcp://www.ibm.com:443", { body: Buffer.from("hello\n") });
  for (const { account } of [missing, opaque])
    assert.match(String(account.refusal?.explanation), /carried no server name \(SNI\).*`\*\.ibm\.com`/);
});

test("a ClientHello in many small pieces is routed and judged by its name all the same", async () => {
  const peer = await connectAdmin(mesh.state);
  const assignments = (await peer.request("pods", {}, 5000)) as Assignments;
  peer.close();
  assert.match(await fragmentedHello(assignments, A, "www.ibm.com"), /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(await fragmentedHello(assignments, A, "mongo1.composedb.com"), /HTTP/);
  assert.ok(pieces > 200, `only ${pieces} pieces were sent`);
});

/** TLS through the sidecar's CONNECT, ten bytes at a time. */
async function fragmentedHello(assignments: Assignments, from: string, host: string): Promise<string> {
  const pod = choosePod(assignments, from, 0);
  const tunnel = connect(15_001, pod.address);
  const credentials = Buffer.from(`bulwark:${pod.outboundSecret}`).toString("base64");
  tunnel.write(
    `CONNECT ${host}:443 HTTP/1.1\r\nhost: ${host}:443\r\nproxy-authorization: Basic ${credentials}\r\n\r\n`,
  );
  await new Promise((resolve) => tunnel.once("data", resolve));
  tunnel.setNoDelay(true);
  return await new Promise((settle) => {
    let answer = "";
    const secure = connectTls({ socket: slowly(tunnel), servername: host, rejectUnauthorized: false });
    secure.on("secureConnect", () =>
      secure.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
    );
    secure.on("data", (chunk) => {
      answer += String(chunk);
    });
    secure.on("error", () => settle(answer));
    secure.on("close", () => settle(answer));
    tunnel.on("close", () => settle(answer));
  });
}

/** A stream that is no socket, so that TLS has to write through it and not past it to the system. */
function slowly(socket: Socket): Duplex {
  const stream = new Duplex({
    read() {},
    write(data: Buffer, _encoding, done) {
      void writePieces(socket, data).then(() => done());
    },
    final(done) {
      socket.end();
      done();
    },
  });
  socket.on("data", (chunk) => stream.push(chunk));
  socket.on("close", () => stream.push(null));
  return stream;
}

let pieces = 0;

async function writePieces(socket: Socket, data: Buffer): Promise<void> {
  for (let at = 0; at < data.length; at += 10) {
    socket.write(data.subarray(at, at + 10));
    pieces++;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("every connection out is in the flow log with service account and server name", async () => {
  const peer = await connectAdmin(mesh.state);
  const filter = ["--reporter", GATEWAY, "--kind", "connection", "--since", "5m"];
  const page = (await peer.request("flows.query", { filter, limit: 100 }, 5000)) as {
    flows: {
      record: { verdict: string; sni?: string; innerSni?: string; source?: { principal?: string } };
    }[];
  };
  peer.close();
  const seen = page.flows.map(
    ({ record }) => `${record.verdict} ${record.source?.principal} ${record.innerSni ?? record.sni}`,
  );
  for (const expected of [
    "allow cluster.local/ns/team-a/sa/app-a www.ibm.com",
    "allow cluster.local/ns/team-b/sa/app-b mongo1.composedb.com",
    "deny cluster.local/ns/team-a/sa/app-a mongo1.composedb.com",
    "deny cluster.local/ns/team-b/sa/app-b www.ibm.com",
  ])
    assert.ok(seen.includes(expected), `${expected} in\n${seen.join("\n")}`);
});

test("a ServiceEntry that is added gets a stand-in; the policy decides who may use it", async () => {
  const file = join(files, "30-external-hosts.yaml");
  const good = readFileSync(file, "utf8");
  writeFileSync(
    file,
    `${good}---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: docs, namespace: istio-egress}
spec:
  hosts: [docs.example.org]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
`,
  );
  await until(async () =>
    (await mesh.status()).pods.every(({ configurationVersion }) => configurationVersion >= 2),
  );
  await until(async () => (await mesh.call(A, "https://docs.example.org/")).answer.status === 200);
  writeFileSync(file, good);
  await until(async () =>
    (await mesh.status()).pods.every(({ configurationVersion }) => configurationVersion >= 3),
  );
  assertRefusedBy(await mesh.call(A, "https://docs.example.org/"), A);
});
