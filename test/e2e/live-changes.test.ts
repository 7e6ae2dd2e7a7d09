import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { clientHello } from "../../src/attack/client-hello-bytes.ts";
import { readAssignments } from "../../src/control/configuration-keeper.ts";
import { connectAdmin } from "../../src/control/control-link.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { until } from "../control/until.ts";
import { readAnswer } from "../dataplane/client.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

/** From the file's change to the cut, its detection and the machine's other load included. */
const WITHIN_MS = 1000;
const LIMIT = { timeout: 40_000 };
const files = mkdtempSync(join(tmpdir(), "live-"));
const open: Socket[] = [];
let mesh: TestMesh;

const deployment = (name: string, port: number) => `
apiVersion: v1
kind: ServiceAccount
metadata: {name: ${name}, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}, sidecar.istio.io/inject: "true"}}
    spec: {serviceAccountName: ${name}, containers: [{name: ${name}, image: ${name}, ports: [{containerPort: ${port}}]}]}
---`;
const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---${deployment("echo", 9000)}${deployment("web", 8080)}${deployment("one", 8080)}${deployment("two", 8080)}
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop}
spec: {selector: {app: echo}, ports: [{name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: shop, labels: {istio: gw}, annotations: {inject.istio.io/templates: gateway}}
spec: {containers: [{name: proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: gw}
  servers: [{port: {number: 7443, name: tls, protocol: TLS}, hosts: ["*.test"], tls: {mode: PASSTHROUGH}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gw, namespace: shop}
spec:
  hosts: ["*.test"]
  gateways: [gw]
  tls: [{match: [{sniHosts: ["*.test"]}], route: [{destination: {host: echo.shop.svc.cluster.local, port: {number: 9000}}}]}]
`;

const policy = (app: string, spec: string) => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec: {selector: {matchLabels: ${app}}, ${spec}}
`;
const from = (...names: readonly string[]) =>
  `rules: [{from: [{source: {principals: [${names.map((name) => `cluster.local/ns/shop/sa/${name}`).join()}]}}]}]`;

const NOTHING = policy("{app: nobody}", "action: DENY, rules: [{}]");

before(async () => {
  writeFileSync(join(files, "mesh.yaml"), MESH);
  writeFileSync(join(files, "policy.yaml"), NOTHING);
  mesh = await startMesh([files]);
});
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});
after(async () => {
  await mesh.stop();
  removeState(mesh);
  rmSync(files, { recursive: true, force: true });
});

/** Saves policies, and waits until every proxy has them. @returns when they were saved. */
async function apply(text: string): Promise<number> {
  const { configuration } = await mesh.status();
  const savedMs = performance.now();
  const next = text === "" ? `${NOTHING}# ${savedMs}` : text;
  writeFileSync(join(files, "policy.yaml"), next);
  await until(async () => {
    const now = await mesh.status();
    const isNew = now.configuration.version > configuration.version;
    return (
      isNew && now.pods.every((pod) => !pod.proxied || pod.configurationVersion === now.configuration.version)
    );
  });
  return savedMs;
}

const podOf = (name: string) => {
  const found = readAssignments(mesh.state).pods.find(
    (pod) => pod.name.startsWith(`${name}-`) || pod.name === name,
  );
  return found ?? assert.fail(`no pod ${name}`);
};

/** A connection, and when it ended. */
interface Held {
  readonly socket: Socket;
  readonly received: () => string;
  readonly endedAtMs: () => number | undefined;
}

function hold(socket: Socket): Held {
  let received = "";
  let endedAtMs: number | undefined;
  open.push(socket);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
  });
  socket.on("close", () => {
    endedAtMs = performance.now();
  });
  return { socket, received: () => received, endedAtMs: () => endedAtMs };
}

/** As a workload's application, through its sidecar: mutual TLS from there. */
async function tunnelFrom(name: string, target: string): Promise<Held> {
  const { address, outboundSecret } = podOf(name);
  const socket = connect(OUTBOUND_PROXY_PORT, address);
  const credential = Buffer.from(`bulwark:${outboundSecret}`).toString("base64");
  socket.write(
    `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  const held = hold(socket);
  await until(() => held.received().includes("\r\n\r\n") || held.endedAtMs() !== undefined);
  assert.match(held.received(), /^HTTP\/1\.1 200 /);
  return held;
}

async function speaks(held: Held, word: string): Promise<void> {
  held.socket.write(word);
  await until(() => held.received().endsWith(word) || held.endedAtMs() !== undefined);
  assert.ok(held.received().endsWith(word), `no answer to ${word}`);
}

async function isCut(held: Held, savedMs: number): Promise<void> {
  await until(() => held.endedAtMs() !== undefined, 5000);
  const afterMs = (held.endedAtMs() ?? Number.NaN) - savedMs;
  assert.ok(afterMs < WITHIN_MS, `cut after ${afterMs} ms`);
}

async function record(...filter: readonly string[]): Promise<FlowRecord> {
  let found: FlowRecord | undefined;
  await until(async () => {
    const peer = await connectAdmin(mesh.state);
    const page = await peer.request("flows.query", { filter, order: "newest", limit: 1 }, 10_000);
    peer.close();
    found = (page as { flows: readonly { record: FlowRecord }[] }).flows[0]?.record;
    return found !== undefined;
  });
  return found ?? assert.fail();
}

test(
  "a DENY cuts the TCP connection that it forbids within a second, by name in the log; the permitted one stays",
  LIMIT,
  async () => {
    const one = await tunnelFrom("one", "echo.shop:9000");
    const two = await tunnelFrom("two", "echo.shop:9000");
    await speaks(one, "hello");
    await speaks(two, "hello");
    await isCut(one, await apply(policy("{app: echo}", `action: DENY, ${from("one")}`)));
    await speaks(two, "still here");
    const cut = await record("--reporter", "shop/echo", "--reason", "deny-matched", "--kind", "connection");
    assert.equal(cut.policy, "AuthorizationPolicy shop/p");
    assert.equal(cut.rule, 0);
    assert.equal(cut.source?.workload, "shop/one");
    assert.ok((cut.bytesSent ?? 0) >= 5);
    assert.match(cut.explanation?.[0] ?? "", /cut when the policies changed/);
    await apply("");
  },
);

test("an ALLOW that no longer names a caller cuts its TCP connection; the other stays", LIMIT, async () => {
  await apply(policy("{app: echo}", from("one", "two")));
  const one = await tunnelFrom("one", "echo.shop:9000");
  const two = await tunnelFrom("two", "echo.shop:9000");
  await speaks(one, "hello");
  await speaks(two, "hello");
  await isCut(one, await apply(policy("{app: echo}", from("two"))));
  await speaks(two, "still here");
  await apply("");
});

const STRICT = `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
`;

test("STRICT cuts plaintext connections, TCP and idle HTTP; those of mutual TLS stay", LIMIT, async () => {
  const secure = await tunnelFrom("one", "echo.shop:9000");
  await speaks(secure, "hello");
  const plain = hold(connect(9000, podOf("echo").address));
  await speaks(plain, "hello");
  const web = connect(8080, podOf("web").address);
  web.write("GET / HTTP/1.1\r\nhost: web.shop\r\n\r\n");
  assert.equal((await readAnswer(web)).status, 200);
  const idle = hold(web);
  const savedMs = await apply(STRICT);
  await isCut(plain, savedMs);
  await isCut(idle, savedMs);
  await speaks(secure, "still here");
  for (const reporter of ["shop/echo", "shop/web"]) {
    const cut = await record("--reporter", reporter, "--reason", "no-chain", "--kind", "connection");
    assert.equal(cut.policy, "PeerAuthentication shop/strict");
  }
  await apply("");
});

const DENY_SECRET = policy(
  "{app: web}",
  'action: DENY, rules: [{to: [{operation: {paths: ["/secret", "/delay/*", "/ws"]}}]}]',
);

test("HTTP/1.1: the next request on a kept connection is decided by the new policy", LIMIT, async () => {
  const socket = connect(8080, podOf("web").address);
  open.push(socket);
  const get = async (path: string): Promise<number> => {
    socket.write(`GET ${path} HTTP/1.1\r\nhost: web.shop\r\n\r\n`);
    return (await readAnswer(socket)).status;
  };
  assert.equal(await get("/secret"), 200);
  await apply(DENY_SECRET);
  assert.equal(await get("/secret"), 403);
  assert.equal(await get("/open"), 200);
  await apply("");
  assert.equal(await get("/secret"), 200);
});

test(
  "HTTP/1.1: a request under way and a WebSocket that are now forbidden end at once; others go on",
  LIMIT,
  async () => {
    const address = podOf("web").address;
    const waiting = hold(connect(8080, address));
    waiting.socket.write("GET /delay/60000 HTTP/1.1\r\nhost: web.shop\r\n\r\n");
    const upgrade = (path: string) =>
      `GET ${path} HTTP/1.1\r\nhost: web.shop\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
    const forbidden = hold(connect(8080, address));
    forbidden.socket.write(upgrade("/ws"));
    const permitted = hold(connect(8080, address));
    permitted.socket.write(upgrade("/other"));
    await until(() => [forbidden, permitted].every((each) => each.received().includes("101 Switching")));
    const savedMs = await apply(DENY_SECRET);
    await isCut(forbidden, savedMs);
    await until(() => waiting.received().includes("403 Forbidden"));
    const before = permitted.received().length;
    // A masked text frame of no content.
    permitted.socket.write(Buffer.from([0x81, 0x80, 1, 2, 3, 4]));
    await until(() => permitted.received().length > before);
    const cut = await record("--reporter", "shop/web", "--protocol", "websocket", "--verdict", "deny");
    assert.deepEqual([cut.policy, cut.path, cut.status], ["AuthorizationPolicy shop/p", "/ws", 101]);
    await apply("");
  },
);

test(
  "HTTP/2: new requests are decided anew, those under way that are forbidden end, and STRICT closes the connection",
  LIMIT,
  async () => {
    const session = connectHttp2(`http://${podOf("web").address}:8080`);
    session.on("error", () => {});
    const get = (path: string): Promise<number> =>
      new Promise((resolve) => {
        const stream = session.request({ ":path": path, ":authority": "web.shop" });
        stream.on("response", (headers) => resolve(Number(headers[":status"])));
        stream.on("error", () => resolve(0));
        stream.resume();
      });
    const closed = new Promise<number>((resolve) => session.once("close", () => resolve(performance.now())));
    assert.equal(await get("/secret"), 200);
    const waiting = get("/delay/60000");
    await apply(DENY_SECRET);
    assert.equal(await waiting, 403);
    assert.equal(await get("/secret"), 403);
    assert.equal(await get("/open"), 200);
    const savedMs = await apply(STRICT);
    const afterMs = (await closed) - savedMs;
    assert.ok(afterMs < WITHIN_MS, `closed after ${afterMs} ms`);
    await apply("");
  },
);

test(
  "a gateway cuts a passed-through TLS connection by its server name; another name's stays",
  LIMIT,
  async () => {
    const gateway = podOf("gw").address;
    const through = async (name: string): Promise<Held> => {
      const hello = await clientHello(name);
      const held = hold(connect(7443, gateway));
      held.socket.write(hello);
      await until(() => held.received().length >= hello.length || held.endedAtMs() !== undefined);
      assert.equal(held.endedAtMs(), undefined, `${name} was not passed on`);
      return held;
    };
    const bad = await through("bad.test");
    const good = await through("good.test");
    const deny = policy(
      "{istio: gw}",
      'action: DENY, rules: [{when: [{key: connection.sni, values: ["bad.test"]}]}]',
    );
    await isCut(bad, await apply(deny));
    await speaks(good, "still here");
    const cut = await record("--reporter", "shop/gw", "--sni", "bad.test", "--verdict", "deny");
    assert.equal(cut.policy, "AuthorizationPolicy shop/p");
    await apply("");
  },
);

test(
  "AUDIT and dry-run policies decide nothing, and what they say is on record, by policy and rule, and can be asked for",
  LIMIT,
  async () => {
    const dryRun = (name: string, app: string, spec: string) =>
      policy(`{app: ${app}}`, spec)
        .replace("name: p,", `name: ${name},`)
        .replace("namespace: shop}", 'namespace: shop, annotations: {istio.io/dry-run: "true"}}');
    const audit = policy("{app: web}", 'action: AUDIT, rules: [{to: [{operation: {paths: ["/none"]}}]}, {}]');
    await apply(
      audit +
        dryRun("no-posts", "web", 'action: DENY, rules: [{to: [{operation: {methods: ["GET"]}}]}]') +
        dryRun("only-one", "echo", from("one")),
    );
    const { status } = (await mesh.call("shop/one", "http://web.shop:8080/x")).answer;
    assert.equal(status, 200);
    const seen = await record("--reporter", "shop/web", "--shadow", "would-deny");
    assert.equal(seen.verdict, "allow");
    assert.equal(
      seen.shadow,
      "audit by AuthorizationPolicy shop/p rule 1; would-deny by AuthorizationPolicy shop/no-posts rule 0",
    );
    const one = await tunnelFrom("one", "echo.shop:9000");
    const two = await tunnelFrom("two", "echo.shop:9000");
    for (const held of [one, two]) {
      await speaks(held, "hello");
      held.socket.destroy();
    }
    const allowed = await record("--reporter", "shop/echo", "--shadow", "would-allow");
    assert.deepEqual(
      [allowed.source?.workload, allowed.shadow],
      ["shop/one", "would-allow by AuthorizationPolicy shop/only-one rule 0"],
    );
    const denied = await record("--reporter", "shop/echo", "--shadow", "would-deny");
    assert.deepEqual([denied.source?.workload, denied.verdict], ["shop/two", "allow"]);
    await apply("");
    assert.equal((await mesh.call("shop/one", "http://web.shop:8080/y")).answer.status, 200);
    assert.equal((await record("--reporter", "shop/web", "--path", "/y")).shadow, undefined);
  },
);

test("a port that becomes HTTP ends the connections that it took as bytes", LIMIT, async () => {
  const held = hold(connect(9000, podOf("echo").address));
  await speaks(held, "hello");
  writeFileSync(
    join(files, "mesh.yaml"),
    MESH.replace("{name: tcp, port: 9000}", "{name: http, port: 9000}"),
  );
  await until(() => held.endedAtMs() !== undefined);
  const cut = await record("--reporter", "shop/echo", "--reason", "chain-changed");
  assert.equal(cut.verdict, "deny");
});
