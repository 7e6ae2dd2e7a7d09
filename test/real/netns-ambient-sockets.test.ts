/** Capture in an ambient pod, by real packets: what is led to ztunnel's sockets, what passes them by, and whom the application sees. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { OriginalDestinations } from "../../src/dataplane/capture/original-destination.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import { fromWire } from "../../src/resources/wire.ts";
import { NO_ASSIGNMENTS, type PodAssignment } from "../../src/substrate/assignment.ts";
import { NetnsHost } from "../../src/substrate/netns/host.ts";
import { netnsSubstrate } from "../../src/substrate/netns/netns.ts";
import { podSockets } from "../../src/substrate/netns/pod-sockets.ts";
import { dialInside, listenInside, udpInside } from "../../src/substrate/netns/sockets-inside.ts";
import { temporaryFolder, until } from "./live-mesh.ts";
import { SKIP } from "./netns/in-pod.ts";
import { run } from "./programs.ts";

const APP_PORT = 8080;

function pod(name: string, annotations: Record<string, string> = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "ns", labels: { "istio.io/dataplane-mode": "ambient" }, annotations },
    spec: { containers: [{ ports: [{ containerPort: APP_PORT }] }] },
  };
}

const BODIES = [
  pod("client"),
  pod("server"),
  pod("open", {
    "ambient.istio.io/bypass-inbound-capture": "true",
    "ambient.istio.io/dns-capture": "false",
  }),
];

const folder = temporaryFolder();
const host = new NetnsHost(folder);
const servers: Server[] = [];
const pods = new Map<string, PodAssignment>();

before(async () => {
  if (SKIP !== false) return;
  const mesh = buildMesh(fromWire(BODIES.map((body, i) => ({ body, file: "test.yaml", createdAt: i }))));
  const assignments = await netnsSubstrate({ meshId: folder, simulateExternal: false }).assign(
    mesh,
    NO_ASSIGNMENTS,
  );
  for (const each of assignments.pods) pods.set(each.name, each);
  await host.apply(assignments, "");
  for (const name of ["server", "open"]) {
    await serve(listenInside(netnsOf(name), "::", APP_PORT), (socket) => told(socket, "application"));
    for (const port of [15006, 15008])
      await serve(podSockets.listen({ netns: netnsOf(name) }, "::", port), (socket) =>
        told(socket, `ztunnel ${port}`),
      );
  }
  await serve(podSockets.listen({ netns: netnsOf("client") }, "::", 15001), (socket) =>
    told(socket, "ztunnel 15001"),
  );
});

after(async () => {
  for (const server of servers) server.close();
  await host.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(fd: number, onSocket: (socket: Socket) => void): Promise<void> {
  const server = createServer(onSocket);
  servers.push(server);
  server.listen({ fd });
  await once(server, "listening");
}

/** Who took the connection, whom it saw, and where it was going. */
function told(socket: Socket, by: string): void {
  const destination = new OriginalDestinations().of(socket);
  socket.end(
    `${by} from ${socket.remoteAddress?.replace("::ffff:", "")} to ${destination?.ip}:${destination?.port}`,
  );
  socket.on("error", () => {});
}

function netnsOf(name: string): string {
  return assigned(name).network?.namespace ?? assert.fail(`${name} has no namespace`);
}

function assigned(name: string): PodAssignment {
  return pods.get(name) ?? assert.fail(`no pod ${name}`);
}

async function answer(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

test("what the application dials comes to ztunnel with where it was going; what ztunnel dials goes there", {
  skip: SKIP,
}, async () => {
  const { address, address6 = "" } = assigned("server");
  const client = assigned("client");
  for (const [to, from] of [
    [address, client.address],
    [address6, client.address6],
  ] as const) {
    const where = { host: to, port: APP_PORT };
    assert.match(
      await answer(dialInside(netnsOf("client"), where)),
      new RegExp(`^ztunnel 15001 from .* to ${to}:8080$`),
    );
    assert.equal(
      await answer(podSockets.dial({ netns: netnsOf("client") }, where)),
      `ztunnel 15006 from ${from} to ${to}:8080`,
    );
  }
});

test("HBONE is not redirected: it comes to ztunnel's own port", { skip: SKIP }, async () => {
  const { address } = assigned("server");
  assert.equal(
    await answer(podSockets.dial({ netns: netnsOf("client") }, { host: address, port: 15008 })),
    `ztunnel 15008 from ${assigned("client").address} to ${address}:15008`,
  );
});

test("ztunnel hands over under the client's own address, of both families, and the answers come back to it", {
  skip: SKIP,
}, async () => {
  const server = assigned("server");
  for (const [to, from] of [
    [server.address, "10.244.200.7"],
    [server.address6 ?? "", "fd00:10:244::abcd"],
  ] as const) {
    const socket = podSockets.dial(
      { netns: netnsOf("server") },
      { host: to, port: APP_PORT, localAddress: from },
    );
    assert.equal(await answer(socket), `application from ${from} to ${to}:8080`);
  }
});

test("loopback is the pod's own, and what the pod sends to its own address too", { skip: SKIP }, async () => {
  for (const to of ["127.0.0.1", assigned("server").address])
    assert.match(
      await answer(dialInside(netnsOf("server"), { host: to, port: APP_PORT })),
      /^application from /,
    );
});

test("with bypass-inbound-capture what comes in clear reaches the application, and HBONE ztunnel", {
  skip: SKIP,
}, async () => {
  const { address } = assigned("open");
  const dial = (port: number) =>
    answer(podSockets.dial({ netns: netnsOf("client") }, { host: address, port }));
  assert.match(await dial(APP_PORT), /^application from /);
  assert.match(await dial(15008), /^ztunnel 15008 from /);
});

test("names are asked of ztunnel, whichever server they are asked of; with dns-capture false of that server", {
  skip: SKIP,
}, async () => {
  const ask = async (name: string): Promise<string> => {
    const netns = netnsOf(name);
    const server = createSocket("udp6").bind({ fd: podSockets.listenUdp({ netns }, "::", 15053) } as never);
    const asker = createSocket("udp4").bind({ fd: udpInside(netns, "0.0.0.0", 0) } as never);
    let isAsked = false;
    server.on("message", () => {
      isAsked = true;
    });
    try {
      asker.send("who", 53, "10.96.0.10");
      let hasLeft = false;
      await until(async () => {
        hasLeft = await hasUdpLeft(netns);
        return isAsked || hasLeft;
      }, "the question went one way or the other");
      return isAsked ? "ztunnel" : "the cluster's";
    } finally {
      server.close();
      asker.close();
    }
  };
  assert.equal(await ask("client"), "ztunnel");
  assert.equal(await ask("open"), "the cluster's");
});

/** The pod's rules count what is neither TCP nor captured. */
async function hasUdpLeft(netns: string): Promise<boolean> {
  const counter = ["nft", "list", "counter", "inet", "bulwark", "other_protocols"];
  const { stdout } = await run("nsenter", [`--net=/run/netns/${netns}`, ...counter]);
  return /packets [1-9]/.test(stdout);
}

test("a socket of a namespace that is gone, or of an address that is none, is an error, and this process stays where it is", {
  skip: SKIP,
}, () => {
  const own = statSync("/proc/self/ns/net").ino;
  assert.throws(() => podSockets.listen({ netns: "bw-none" }, "::", 1), /cannot open/);
  assert.throws(() => podSockets.listen({ netns: netnsOf("server") }, "::", 15006), /cannot bind/);
  assert.equal(statSync("/proc/self/ns/net").ino, own);
});
