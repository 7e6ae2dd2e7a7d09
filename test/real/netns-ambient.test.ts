/**
 * The ambient example on network namespaces: a ztunnel for each of two nodes, a waypoint, a sidecar and a plain pod. Calls of plain programs end as `can`
 * says, identities on HBONE are the workloads' own, and what an attacker tries from a pod, or with a pod's certificate, is refused.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import type { Socket } from "node:net";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { dialControl } from "../../src/control/control-link.ts";
import type { SignAnswer } from "../../src/control/messages.ts";
import { podSocket } from "../../src/control/netns/pod-folders.ts";
import type { CaReport } from "../../src/control/revocation/messages.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS } from "../../src/identity/key-algorithm.ts";
import { can, loadMesh } from "../../src/index.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { MESH_MARK } from "../../src/substrate/netns/ambient-capture.ts";
import { dialInside } from "../../src/substrate/netns/sockets-inside.ts";
import { HandSigner } from "./hand-signer.ts";
import { LiveMesh, temporaryFolder, until, withTimeout } from "./live-mesh.ts";
import { curl, inPod, leftBehind, SKIP } from "./netns/in-pod.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../examples/ambient");
const HBONE = 15_008;
const ANSWER_MS = 15_000;

/** Who is on which side: ambient, ambient, ambient, behind a sidecar, outside of the mesh. */
const WORKLOADS = ["shop/web", "shop/catalog", "shop/orders", "partner/feed", "legacy/cron"];
const AMBIENT = ["shop/web", "shop/catalog", "shop/orders"];
const ASKED = [
  ["GET", "/orders/7"],
  ["DELETE", "/orders/7"],
  ["GET", "/admin"],
] as const;

const files = temporaryFolder();
let mesh: LiveMesh;
let signer: HandSigner;

before(async () => {
  cpSync(EXAMPLE, files, { recursive: true });
  if (SKIP !== false) return;
  mesh = await LiveMesh.up([files, "--substrate", "netns"]);
  signer = await HandSigner.ofMesh(mesh.state.caFolder);
});
after(async () => {
  await mesh?.dispose();
  rmSync(files, { recursive: true, force: true });
});

function podOf(workload: string) {
  return mesh.pod(`${workload}-0`);
}

function netnsOf(workload: string): string {
  return podOf(workload).network?.namespace ?? assert.fail(`${workload} has no network`);
}

function identityOf(workload: string): string {
  const [namespace, account] = workload.split("/");
  return `cluster.local/ns/${namespace}/sa/${account}`;
}

/** A record that fits comes into the log, if only in a while. */
async function logged(what: string, fits: (record: FlowRecord) => boolean): Promise<FlowRecord> {
  let found: FlowRecord | undefined;
  await until(() => {
    found = mesh.flows().find(fits);
    return found !== undefined;
  }, `${what} is in the flow log`);
  return found ?? assert.fail(what);
}

/** Opens mutual TLS to a pod's HBONE port from another pod's network, past its capture, with a certificate of any identity. */
async function openHbone(from: string, to: string, identity: string): Promise<TLSSocket> {
  const { keyPem, chainPem, rootPem } = await signer.issue({ uris: [`spiffe://${identity}`] });
  const socket = dialInside(netnsOf(from), { host: podOf(to).address, port: HBONE }, { mark: MESH_MARK });
  const tls = connectTls({
    socket,
    key: keyPem,
    cert: chainPem,
    ca: rootPem,
    ALPNProtocols: ["h2"],
    checkServerIdentity: () => undefined,
  });
  await withTimeout(
    new Promise((settle, fail) =>
      tls
        .once("secureConnect", settle)
        .once("error", fail)
        .once("close", () => fail(new Error("closed"))),
    ),
    ANSWER_MS,
    "the handshake",
  );
  return tls;
}

/** @returns the status of a CONNECT, or how it was broken off. */
async function connectThrough(tls: TLSSocket, authority: string): Promise<number | string> {
  const session: ClientHttp2Session = connectHttp2("https://pod", { createConnection: () => tls });
  session.on("error", () => {});
  const stream = session.request({ ":method": "CONNECT", ":authority": authority });
  const answer = new Promise<number | string>((settle) => {
    stream.on("response", (headers) => settle(Number(headers[constants.HTTP2_HEADER_STATUS])));
    stream.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? "error"));
    stream.on("close", () => settle(`closed with ${stream.rstCode}`));
    session.on("close", () => settle("session closed"));
  });
  const result = await withTimeout(answer, ANSWER_MS, `CONNECT ${authority}`);
  session.destroy();
  return result;
}

test("each node's ztunnel holds the certificates of its own ambient pods, which have no proxy of their own", {
  skip: SKIP,
}, async () => {
  const status = await mesh.status();
  assert.deepEqual(status.ztunnels.map(({ node }) => node).sort(), ["node-1", "node-2"]);
  for (const { node, report, connected } of status.ztunnels) {
    assert.equal(connected, true);
    const own = mesh.assignments.pods.filter(
      ({ ambient, network }) => ambient === true && network?.node === node,
    );
    assert.deepEqual(
      Object.keys(report?.certificates ?? {}).sort(),
      [...new Set(own.map(({ spiffeId }) => spiffeId))].sort(),
      node,
    );
  }
  const names = mesh.children.map(({ name }) => name);
  assert.deepEqual(names.filter((name) => name.startsWith("proxy ")).sort(), [
    "proxy partner/feed-0",
    "proxy shop/waypoint-0",
  ]);
  assert.deepEqual(names.filter((name) => name.startsWith("ztunnel ")).sort(), [
    "ztunnel node-1",
    "ztunnel node-2",
  ]);
  const { stdout } = await mesh.run("ca", "status", "--format", "json");
  const { certificates, alerts } = JSON.parse(stdout) as CaReport;
  assert.deepEqual(alerts, []);
  for (const workload of AMBIENT) {
    const { node = "" } = podOf(workload).network ?? {};
    const held = certificates.find(
      ({ identity, usedBy }) => identity === `spiffe://${identityOf(workload)}` && usedBy !== null,
    );
    assert.deepEqual([held?.usedBy, held?.method], [`istio-system/ztunnel-${node}`, "ztunnel"]);
  }
});

/** HTTP status of each, asked one after the other by plain curl in the pod; 0: no answer. */
async function statuses(
  from: string,
  asked: readonly (readonly [method: string, url: string])[],
): Promise<readonly number[]> {
  const each = "curl -s -m 10 -o /dev/null -w '%{http_code}\\n' -X $1 $2; shift 2";
  const words = ["sh", "-c", `while [ $# -gt 0 ]; do ${each}; done`, "sh", ...asked.flat()];
  const { stdout } = await inPod(mesh, from, words);
  return stdout.trim().split("\n").map(Number);
}

test("every pair of pods, ambient, behind a sidecar, and plain, is answered as can says", {
  skip: SKIP,
}, async () => {
  const { mesh: read } = await loadMesh([files]);
  const places = WORKLOADS.flatMap((to) => ASKED.map(([method, path]) => ({ to, method, path })));
  const wrong: string[] = [];
  for (const from of WORKLOADS) {
    const hostOf = (to: string) => to.split("/").reverse().join(".");
    const live = await statuses(
      from,
      places.map(({ to, method, path }) => [method, `http://${hostOf(to)}${path}`]),
    );
    const said = await can(
      read,
      places.map(({ to, method, path }) => ({
        from: { workload: from },
        to: { service: hostOf(to), port: 80 },
        method,
        path,
      })),
      { semantics: "strict" },
    );
    assert.equal(live.length, said.length);
    for (const [i, { allowed, code, cause, hop }] of said.entries()) {
      const isAsSaid = allowed ? live[i] === 200 : live[i] === code;
      const { to, method, path } = places[i] ?? assert.fail();
      if (!isAsSaid)
        wrong.push(`${from} ${method} ${to} ${path}: ${live[i]}, can says ${code} ${cause} at ${hop}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("on HBONE a pod shows its own identity, and its peer's is known: each workload's, none the node's", {
  skip: SKIP,
}, async () => {
  for (const workload of [...AMBIENT, "partner/feed"]) {
    const tls = await openHbone("legacy/cron", workload, identityOf("shop/web"));
    assert.equal(tls.getPeerCertificate().subjectaltname, `URI:spiffe://${identityOf(workload)}`);
    assert.equal(tls.alpnProtocol, "h2");
    tls.destroy();
  }
  const { address } = podOf("shop/catalog");
  assert.equal((await curl(mesh, "shop/web", [`http://${address}:8080/who`])).status, 200);
  const { node = "" } = podOf("shop/catalog").network ?? {};
  const record = await logged(
    "catalog's connection",
    ({ reporter, source, direction, destination }) =>
      reporter === `ztunnel ${node}` &&
      direction === "inbound" &&
      destination?.workload === "shop/catalog" &&
      source?.principal === identityOf("shop/web"),
  );
  assert.equal(record.source?.workload, "shop/web");
});

test("who goes to the pod itself, past the waypoint, is refused by the pod's ztunnel", {
  skip: SKIP,
}, async () => {
  const { address } = podOf("shop/orders");
  // The waypoint would let it through.
  assert.equal((await curl(mesh, "shop/web", ["http://orders.shop/orders/7"])).status, 200);
  const direct = await curl(mesh, "shop/web", [`http://${address}:8080/orders/7`]);
  assert.equal(direct.status, 0);
  const record = await logged(
    "the refusal",
    ({ verdict, destination, source, reason }) =>
      verdict === "deny" &&
      destination?.workload === "shop/orders" &&
      source?.principal === identityOf("shop/web") &&
      reason === "no-allow-matched",
  );
  assert.match(record.reporter, /^ztunnel /);
});

test("call acts as a pod without a sidecar, and tells who refused: the waypoint, or the other end's ztunnel", {
  skip: SKIP,
}, async () => {
  assert.equal((await mesh.call("shop/web", "http://orders/orders/7")).result, "answered");
  const byWaypoint = await mesh.call("shop/catalog", "http://orders/orders/7");
  assert.deepEqual([byWaypoint.result, byWaypoint.refusal?.reporter], ["refused", "shop/waypoint"]);
  const past = await mesh.call("shop/web", `http://${podOf("shop/orders").address}:8080/`);
  const { node = "" } = podOf("shop/orders").network ?? {};
  assert.deepEqual([past.result, past.refusal?.reporter], ["refused", `ztunnel ${node}`]);
  const plain = await mesh.call("legacy/cron", "http://orders.shop/");
  assert.deepEqual([plain.result, plain.refusal?.reason], ["refused", "plaintext-refused"]);
});

test("HBONE leads to nowhere but the pod that it came to", { skip: SKIP }, async () => {
  const catalog = podOf("shop/catalog");
  const orders = podOf("shop/orders");
  const as = identityOf("shop/web");
  const asked = async (to: string, authority: string) =>
    connectThrough(await openHbone("legacy/cron", to, as), authority);
  assert.equal(await asked("shop/catalog", `${catalog.address}:8080`), 200);
  for (const authority of [
    `${orders.address}:8080`,
    `${podOf("legacy/cron").address}:8080`,
    "127.0.0.1:8080",
    "169.254.169.254:80",
    `${catalog.address}:${HBONE}`,
    `${catalog.address}:15001`,
    `${catalog.address}:15006`,
  ]) {
    const outcome = await asked("shop/catalog", authority);
    assert.notEqual(outcome, 200, authority);
  }
});

test("a certificate that is not the mesh's opens no HBONE", { skip: SKIP }, async () => {
  const own = signer;
  signer = await HandSigner.rogue(own);
  try {
    const tls = await openHbone("legacy/cron", "shop/catalog", identityOf("shop/web")).catch(() => undefined);
    const outcome =
      tls === undefined
        ? "refused"
        : await connectThrough(tls, `${podOf("shop/catalog").address}:8080`).catch(() => "refused");
    assert.notEqual(outcome, 200);
  } finally {
    signer = own;
  }
});

/** What the pod's root gets of the mesh's processes: which of them it may look into, and the token of the pod's own. */
const LOOT = `
for pid in $(ls /proc | grep -E '^[0-9]+$'); do
  title=$(tr '\\0' ' ' < /proc/$pid/cmdline 2>/dev/null | cut -c1-60)
  case "$title" in bulwark*) ;; *) continue ;; esac
  (exec 3</proc/$pid/mem) 2>/dev/null && echo "memory of $title"
  cat /proc/$pid/root/run/bulwark/tokens/$0.jwt 2>/dev/null && echo
done
`;

async function lootOf(workload: string): Promise<readonly string[]> {
  const words = ["sh", "-c", LOOT, `${workload.replace("/", ".")}-0`];
  const { stdout } = await inPod(mesh, `${workload}-0`, words, true);
  return stdout
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

test("root in a sidecar's pod gets its proxy's memory, and by its token a certificate; root in an ambient pod finds neither", {
  skip: SKIP,
}, async () => {
  const [memory, token = "", ...rest] = await lootOf("partner/feed");
  assert.equal(memory, "memory of bulwark proxy partner/feed-0");
  assert.deepEqual(rest, []);
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const thief = await dialControl(podSocket(mesh.state));
  try {
    // The proxy's place it does not get.
    await assert.rejects(thief.request("hello", { token }, ANSWER_MS), { code: "BW_SESSION_TAKEN" });
    const csr = encodeCsr(privateKey).toString("base64");
    const { chainPem } = (await thief.request("sign", { token, csr }, ANSWER_MS)) as SignAnswer;
    assert.equal(new X509Certificate(chainPem).subjectAltName, `URI:spiffe://${identityOf("partner/feed")}`);
  } finally {
    thief.close();
  }
  for (const workload of AMBIENT) assert.deepEqual(await lootOf(workload), [], workload);
});

test("root in an ambient pod that undoes the capture is nobody: refused where STRICT holds", {
  skip: SKIP,
}, async () => {
  const { address } = podOf("shop/catalog");
  const outcome = await inPod(
    mesh,
    "shop/web",
    [
      "sh",
      "-c",
      `nft list ruleset > /tmp/rules; nft flush ruleset; curl -s -m 5 -o /dev/null -w '%{http_code}' http://${address}:8080/; nft -f /tmp/rules; rm /tmp/rules`,
    ],
    true,
  );
  assert.equal(outcome.stdout.trim(), "000");
  const record = await logged(
    "the plaintext refused",
    ({ verdict, destination, source, reporter }) =>
      verdict === "deny" &&
      reporter.startsWith("ztunnel ") &&
      destination?.workload === "shop/catalog" &&
      source?.principal === null &&
      source.ip === podOf("shop/web").address,
  );
  assert.equal(record.layer, "transport");
});

test("who has a ztunnel's token gets nothing of another node's pods with it, and each try is on record", {
  skip: SKIP,
}, async () => {
  const own = podOf("shop/web").network?.node;
  const other =
    AMBIENT.find((workload) => podOf(workload).network?.node !== own) ?? assert.fail("one node only");
  const token = readFileSync(tokenFile(mesh.state, `istio-system/ztunnel-${own}`), "utf8").trim();
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const csr = encodeCsr(privateKey).toString("base64");
  const thief = await dialControl(mesh.state.controlSocket);
  try {
    await assert.rejects(thief.request("hello", { token }, ANSWER_MS), { code: "BW_SESSION_TAKEN" });
    for (const [workload, code] of [
      [other, "BW_CA_IMPERSONATION_NODE"],
      [
        "partner/feed",
        podOf("partner/feed").network?.node === own
          ? "BW_CA_IMPERSONATION_NOT_AMBIENT"
          : "BW_CA_IMPERSONATION_NODE",
      ],
    ] as const) {
      const asked = { token, csr, pod: `${workload}-0`, identity: `spiffe://${identityOf(workload)}` };
      await assert.rejects(thief.request("sign", asked, ANSWER_MS), { code });
      const record = await logged(
        `the refusal for ${workload}`,
        ({ layer, reason }) => layer === "ca" && reason === code,
      );
      assert.equal(record.source?.principal, "cluster.local/ns/istio-system/sa/ztunnel");
    }
  } finally {
    thief.close();
  }
});

/** A connection of an application, open and used once. */
async function hold(from: string, to: string): Promise<Socket> {
  const socket = dialInside(netnsOf(from), { host: podOf(to).address, port: 8080 });
  socket.on("error", () => {});
  socket.write(`GET / HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
  await withTimeout(new Promise((settle) => socket.once("data", settle)), ANSWER_MS, "an answer");
  return socket;
}

test("a ztunnel that is killed comes back, and its pods' traffic with it", { skip: SKIP }, async () => {
  const { node = "" } = podOf("shop/catalog").network ?? {};
  const before = mesh.children.find(({ name }) => name === `ztunnel ${node}`) ?? assert.fail("no ztunnel");
  process.kill(before.pid, "SIGKILL");
  await until(async () => {
    const now = mesh.children.find(({ name }) => name === `ztunnel ${node}`);
    return now !== undefined && now.pid !== before.pid;
  }, "another ztunnel runs");
  await until(
    async () => (await curl(mesh, "partner/feed", ["http://catalog.shop/"])).status === 200,
    "catalog answers again",
  );
});

test("the CA's keys are replaced under ambient pods: both rotations end, and calls go on", {
  skip: SKIP,
}, async () => {
  for (const kind of ["rotate-intermediate", "rotate-root"]) {
    const { code, stderr } = await mesh.run("ca", kind, "--timeout", "60s");
    assert.equal(code, 0, stderr);
    assert.equal((await curl(mesh, "shop/web", ["http://orders.shop/orders/7"])).status, 200, kind);
    assert.equal((await curl(mesh, "partner/feed", ["http://catalog.shop/"])).status, 200, kind);
  }
});

test("revoking a pod's identity cuts its connections at its ztunnel, until it is let in again", {
  skip: SKIP,
}, async () => {
  const held = await hold("shop/web", "shop/catalog");
  const ended = new Promise((settle) => held.once("close", settle));
  const identity = `spiffe://${identityOf("shop/web")}`;
  assert.equal((await mesh.run("ca", "revoke", identity, "--reason", "keyCompromise")).code, 0);
  await withTimeout(ended, ANSWER_MS, "the connection ends");
  assert.notEqual((await curl(mesh, "shop/web", ["http://catalog.shop/"])).status, 200);
  assert.equal((await curl(mesh, "partner/feed", ["http://catalog.shop/"])).status, 200);
  assert.equal((await mesh.run("ca", "restore", identity)).code, 0);
  await until(
    async () => (await curl(mesh, "shop/web", ["http://catalog.shop/"])).status === 200,
    "web calls again",
  );
});

test("a pod moves from ambient mode to a sidecar and back by an edit, and is reached all the while as its policies say", {
  skip: SKIP,
}, async () => {
  const file = join(files, "mesh.yaml");
  const original = readFileSync(file, "utf8");
  const moved = original.replace(
    "metadata: {labels: {app: catalog}}",
    'metadata: {labels: {app: catalog, sidecar.istio.io/inject: "true", istio.io/dataplane-mode: none}}',
  );
  assert.notEqual(moved, original);
  const hasProxy = () => mesh.children.some(({ name }) => name === "proxy shop/catalog-0");
  const isReached = async (from: string) =>
    (await curl(mesh, from, [`http://${podOf("shop/catalog").address}:8080/`])).status === 200;
  writeFileSync(file, moved);
  await until(hasProxy, "catalog has a proxy", 60_000);
  await until(() => isReached("shop/web"), "web reaches catalog behind its sidecar", 60_000);
  assert.equal(await isReached("legacy/cron"), false);
  const [, stolen = ""] = await lootOf("shop/catalog");
  writeFileSync(file, original);
  await until(() => !hasProxy(), "catalog has none any more", 60_000);
  await until(() => isReached("shop/web"), "web reaches catalog in ambient mode", 60_000);
  assert.equal(await isReached("legacy/cron"), false);
  // What was taken from its sidecar is another pod's by now.
  assert.match(stolen, /^ey/);
  const thief = await dialControl(podSocket(mesh.state));
  await assert.rejects(thief.request("hello", { token: stolen }, ANSWER_MS), { code: "BW_TOKEN_POD_GONE" });
  thief.close();
  assert.deepEqual(await lootOf("shop/catalog"), []);
});

const networkPolicy = (port: number) => `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: catalog, namespace: shop}
spec:
  podSelector: {matchLabels: {app: catalog}}
  policyTypes: [Ingress]
  ingress: [{ports: [{port: ${port}}]}]
`;

test("network policies see the tunnel's port, and not the application's, as can says", {
  skip: SKIP,
}, async () => {
  const file = join(files, "mesh.yaml");
  const original = readFileSync(file, "utf8");
  const asked = { from: { workload: "shop/web" }, to: { service: "catalog.shop", port: 80 } };
  const direct = `http://${podOf("shop/catalog").address}:8080/`;
  const saysCan = async () =>
    (await can((await loadMesh([files])).mesh, [asked], { semantics: "strict" }))[0];
  writeFileSync(file, `${original}${networkPolicy(8080)}`);
  assert.equal((await saysCan())?.allowed, false);
  await until(
    async () => (await statuses("shop/web", [["GET", direct]]))[0] === 0,
    "8080 alone is no way in",
    60_000,
  );
  await logged(
    "the packets dropped",
    ({ layer, reason, destination }) =>
      layer === "network" &&
      reason === "network-policy" &&
      destination?.workload === "shop/catalog" &&
      destination.port === HBONE,
  );
  writeFileSync(file, `${original}${networkPolicy(HBONE)}`);
  assert.equal((await saysCan())?.allowed, true);
  await until(async () => (await statuses("shop/web", [["GET", direct]]))[0] === 200, "15008 is", 60_000);
  writeFileSync(file, original);
});

test("nothing is left when it is taken down", { skip: SKIP }, async () => {
  assert.equal(await mesh.interrupt(), 0);
  await until(() => leftBehind(mesh.state.root).length === 0, "nothing is left", 15_000);
  assert.deepEqual(
    readdirSync("/run/netns").filter((name) => leftBehind(mesh.state.root).includes(name)),
    [],
  );
});
