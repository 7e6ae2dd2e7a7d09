/** CUSTOM policies on TCP at a gateway: each kind of server asks, and passes nothing on before the answer. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { clientHello } from "../../../src/attack/client-hello-bytes.ts";
import { tlsCredentials } from "../../../src/identity/rotation.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { type RunningMesh, startMesh } from "../mesh-fixture.ts";
import { until } from "../until.ts";
import { ALLOWED, AuthorizerServers, DENIED } from "./authorizer-servers.ts";

const NET = 75;
const PLAIN = 7000;
const MUTUAL = 7443;
const PASSED = 7444;

const mesh = (provider: object, policies: readonly object[]): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '${JSON.stringify({
  extensionProviders: [
    { name: "authz", ...provider },
    { name: "other", ...provider },
  ],
})}'}
---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: a, labels: {istio: gw}, annotations: {inject.istio.io/templates: gateway}}
spec: {serviceAccountName: gw, containers: [{name: proxy, image: auto}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 9100}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: tcp, port: 9100}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a}
spec: {serviceAccountName: client, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: authorizer, namespace: a, labels: {app: authorizer}}
spec: {serviceAccountName: authorizer, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: authorizer, namespace: a}
spec: {selector: {app: authorizer}, ports: [{name: grpc, port: 9000}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec:
  selector: {istio: gw}
  servers:
    - {port: {number: ${PLAIN}, name: tcp, protocol: TCP}, hosts: ["*"]}
    - {port: {number: ${MUTUAL}, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: ISTIO_MUTUAL}}
    - {port: {number: ${PASSED}, name: passed, protocol: TLS}, hosts: [any.test], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: a}
spec:
  hosts: ["*"]
  gateways: [gw]
  tcp: [{route: [{destination: {host: server.a.svc.cluster.local, port: {number: 9100}}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: passed, namespace: a}
spec:
  hosts: [any.test]
  gateways: [gw]
  tls: [{match: [{port: ${PASSED}, sniHosts: [any.test]}], route: [{destination: {host: server.a.svc.cluster.local, port: {number: 9100}}}]}]
${policies
  .map(
    (spec, index) => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p${index}, namespace: a}
spec: ${JSON.stringify({ selector: { matchLabels: { istio: "gw" } }, ...spec })}`,
  )
  .join("")}`;

const provider = (settings: object = {}, kind = "Grpc"): object => ({
  [`envoyExtAuthz${kind}`]: {
    service: "authorizer.a.svc.cluster.local",
    port: 9000,
    timeout: "1s",
    ...settings,
  },
});
const custom = (name: string): object => ({ action: "CUSTOM", provider: { name }, rules: [{}] });

class Running {
  readonly mesh: RunningMesh;
  readonly authorizer: AuthorizerServers;
  /** Bytes that the application got. */
  reached = 0;

  private constructor(running: RunningMesh, authorizer: AuthorizerServers) {
    this.mesh = running;
    this.authorizer = authorizer;
  }

  static async start(context: TestContext, yaml: string): Promise<Running> {
    const authorizer = new AuthorizerServers();
    let running: Running | undefined;
    const echo = (chunk: Buffer, socket: Socket): void => {
      if (running !== undefined) running.reached += chunk.length;
      socket.write(chunk);
    };
    const made = await startMesh(context, yaml, {
      net: NET,
      // One handler serves the authorizer and the application.
      tcpHandler: (socket) => {
        socket.on("error", () => {}).on("end", () => socket.end());
        socket.once("readable", () => {
          const first: Buffer | null = socket.read();
          if (first === null) return;
          if (first.toString("latin1").startsWith("PRI ")) {
            socket.unshift(first);
            authorizer.accept(socket);
            return;
          }
          echo(first, socket);
          socket.on("data", (chunk: Buffer) => echo(chunk, socket));
        });
      },
    });
    running = new Running(made, authorizer);
    return running;
  }

  get address(): string {
    return this.mesh.pod("a/gw").pod.address;
  }

  open(port: number): Socket {
    const socket = connect(port, this.address);
    return socket.on("error", () => {});
  }

  /** Through the gateway's own mutual TLS, as the client. */
  openMutual(): Socket {
    const svid = this.mesh.pod("a/client").identity.current;
    assert.ok(svid);
    const socket = connectTls({
      host: this.address,
      port: MUTUAL,
      ...tlsCredentials(svid),
      ALPNProtocols: ["istio"],
      servername: "any.test",
      rejectUnauthorized: false,
    });
    return socket.on("error", () => {});
  }

  async lastFlow(): Promise<FlowDraft> {
    const { flows } = this.mesh.pod("a/gw");
    await until(() => flows.some(({ kind }) => kind === "connection"), "the connection's record");
    const flow = flows.findLast(({ kind }) => kind === "connection");
    flows.length = 0;
    assert.ok(flow);
    return flow;
  }
}

/** Sends bytes and reads as many back; fewer where the gateway closes. */
async function exchange(socket: Socket, bytes: Buffer): Promise<Buffer> {
  socket.write(bytes);
  const received = await read(socket, bytes.length);
  socket.destroy();
  return received;
}

function read(socket: Socket, length: number): Promise<Buffer> {
  let received: Buffer = Buffer.alloc(0);
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length >= length) resolve(received);
  });
  socket.once("close", () => resolve(received));
  return promise;
}

test("each kind of TCP server asks about a connection, once; without an allow no byte reaches the application", async (context) => {
  const running = await Running.start(context, mesh(provider(), [custom("authz")]));
  const { authorizer } = running;
  const hello = await clientHello("any.test");
  const plain = Buffer.from("some bytes\n");
  const kinds = [
    { port: PLAIN, bytes: plain, open: () => running.open(PLAIN), principal: "" },
    { port: PASSED, bytes: hello, open: () => running.open(PASSED), principal: "" },
    {
      port: MUTUAL,
      bytes: plain,
      open: () => running.openMutual(),
      principal: "spiffe://cluster.local/ns/a/sa/client",
    },
  ];
  for (const { port, bytes, open, principal } of kinds) {
    authorizer.grpc = () => ALLOWED;
    authorizer.grpcChecks.length = 0;
    assert.deepEqual(await exchange(open(), bytes), bytes, `${port}`);
    assert.equal(authorizer.grpcChecks.length, 1, `${port}: asked once`);
    const [check] = authorizer.grpcChecks;
    assert.deepEqual([check?.http, check?.source.principal], [null, principal], `${port}`);
    assert.deepEqual([check?.destination.port, check?.destination.ip], [port, running.address], `${port}`);
    const passed = await running.lastFlow();
    assert.deepEqual([passed.verdict, passed.authorizer?.answer], ["allow", "allow"], `${port}`);
    authorizer.grpc = () => DENIED;
    const before = running.reached;
    assert.equal((await exchange(open(), bytes)).length, 0, `${port}`);
    assert.equal(running.reached, before, `${port}`);
    const refused = await running.lastFlow();
    assert.deepEqual(
      [refused.verdict, refused.layer, refused.reason, refused.policy, refused.authorizer?.answer],
      ["deny", "ext-authz", "ext-authz-denied", "AuthorizationPolicy a/p0", "deny"],
      `${port}`,
    );
  }
});

test("an authorizer that does not answer: closed, or through with failOpen, and the record says so", async (context) => {
  const running = await Running.start(context, mesh(provider(), [custom("authz")]));
  running.authorizer.grpc = () => new Promise(() => {});
  const bytes = Buffer.from("some bytes\n");
  assert.equal((await exchange(running.open(PLAIN), bytes)).length, 0);
  assert.equal((await running.lastFlow()).reason, "ext-authz-failed");
  await running.mesh.apply(mesh(provider({ failOpen: true }), [custom("authz")]));
  assert.deepEqual(await exchange(running.open(PLAIN), bytes), bytes);
  assert.equal((await running.lastFlow()).authorizer?.failedOpen, true);
});

test("a change cuts what it forbids: a DENY added, or another provider, whose word nobody has", async (context) => {
  const running = await Running.start(context, mesh(provider(), [custom("authz")]));
  const bytes = Buffer.from("some bytes\n");
  const deny = { action: "DENY", rules: [{ to: [{ operation: { ports: [String(PLAIN)] } }] }] };
  for (const policies of [[custom("authz"), deny], [custom("other")]]) {
    await running.mesh.apply(mesh(provider(), [custom("authz")]));
    const socket = running.open(PLAIN);
    socket.write(bytes);
    assert.deepEqual(await read(socket, bytes.length), bytes);
    await running.mesh.apply(mesh(provider(), [custom("authz")]));
    socket.write(bytes);
    assert.deepEqual(await read(socket, bytes.length), bytes, "what is still allowed goes on");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await running.mesh.apply(mesh(provider(), policies));
    await closed;
    assert.equal((await running.lastFlow()).verdict, "deny");
  }
});

test("an HTTP authorizer has no say on TCP, as with Istio: nobody is asked, and other policies decide", async (context) => {
  const running = await Running.start(context, mesh(provider({}, "Http"), [custom("authz")]));
  const bytes = Buffer.from("some bytes\n");
  assert.deepEqual(await exchange(running.open(PLAIN), bytes), bytes);
  assert.deepEqual([running.authorizer.httpChecks.length, running.authorizer.grpcChecks.length], [0, 0]);
});
