/**
 * The egress example on network namespaces: plain programs leave by the gateway and by nothing else, whatever the pod's user or its
 * root tries; each attempt is in the flow log, and counters at the far end show that nothing but the gateway arrived.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { LiveMesh, temporaryFolder, until } from "./live-mesh.ts";
import { AS_PROXY, arrivedOutside, curl, inPod, leftBehind, SKIP } from "./netns/in-pod.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../examples/egress");
const A = "team-a/app-a";
const B = "team-b/app-b";
const GATEWAY = "istio-egress/istio-egressgateway-0";
const IBM = "https://www.ibm.com/";

/** Policies add up. */
const OPEN = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: team-a}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: team-b}}}]
      ports: [{port: 8080}]
`;

const files = temporaryFolder();
let mesh: LiveMesh;
before(async () => {
  cpSync(EXAMPLE, files, { recursive: true });
  // As its reader would: root on Linux gets namespaces, and in them stand-ins, without a word.
  process.env.BULWARK_SUBSTRATE = "";
  if (SKIP === false) mesh = await LiveMesh.up([files]);
});
after(async () => {
  await mesh?.dispose();
  rmSync(files, { recursive: true, force: true });
});

/** A record that fits comes into the log, if only in a while. */
async function logged(what: string, fits: (record: FlowRecord) => boolean): Promise<FlowRecord> {
  let found: FlowRecord | undefined;
  await until(() => {
    found = mesh.flows().find(fits);
    return found !== undefined;
  }, `${what} is in the flow log`);
  return found as FlowRecord;
}

function dropped(reason: string, protocol: string, port: number | undefined, ip?: string) {
  return (record: FlowRecord): boolean =>
    record.layer === "network" &&
    record.reason === reason &&
    record.protocol === protocol &&
    record.destination?.port === port &&
    (ip === undefined || record.destination?.ip === ip);
}

test("plain curl reaches the own host through the gateway, which knows who calls", {
  skip: SKIP,
}, async () => {
  const { status, body } = await curl(mesh, A, [IBM]);
  assert.equal(status, 200);
  assert.equal((JSON.parse(body) as { standIn: string }).standIn, "*.ibm.com");
  const record = await logged(
    "the gateway's connection",
    ({ reporter, innerSni }) => reporter === "istio-egress/istio-egressgateway" && innerSni === "www.ibm.com",
  );
  assert.deepEqual([record.verdict, record.source?.principal], ["allow", "cluster.local/ns/team-a/sa/app-a"]);
  assert.equal((await curl(mesh, B, ["https://mongo1.composedb.com/"])).status, 200);
});

test("the other team's host is refused by the gateway, an unregistered one by the sidecar, by name and by address", {
  skip: SKIP,
}, async () => {
  assert.equal((await curl(mesh, A, ["https://mongo1.composedb.com/"])).status, 0);
  const record = await logged(
    "the refusal",
    ({ sni, verdict, direction }) =>
      sni === "mongo1.composedb.com" && verdict === "deny" && direction === "inbound",
  );
  assert.deepEqual([record.layer, record.source?.workload], ["authorization", A]);
  const standIn = mesh.assignments.standIns.find(({ host }) => host === "*.ibm.com")?.address ?? "";
  assert.equal((await curl(mesh, A, ["-k", `https://${standIn}/`])).status, 0);
  assert.equal((await curl(mesh, A, [`http://${standIn}/`])).status, 502);
  await logged(
    "the address alone",
    ({ destination, reason }) => destination?.ip === standIn && reason === "blackhole",
  );
  assert.match((await curl(mesh, A, ["https://www.example.org/"])).error, /resolve/);
});

test("past the sidecar nothing leaves: the proxy's uid, no rules, other ports, IPv6, UDP 443, ICMP, raw addresses", {
  skip: SKIP,
}, async () => {
  const { address = "", address6 = "" } =
    mesh.assignments.standIns.find(({ host }) => host === "*.ibm.com") ?? {};
  const short = ["-m", "2"];
  assert.equal((await curl(mesh, A, [...short, IBM], AS_PROXY, true)).status, 0);
  await logged("the proxy's uid", dropped("not-the-gateway", "tcp", 443, address));
  assert.equal((await inPod(mesh, A, ["nft", "flush", "ruleset"], true)).code, 0);
  assert.equal(
    (await curl(mesh, A, [...short, "--resolve", `www.ibm.com:443:[${address6}]`, IBM])).status,
    0,
  );
  await logged("IPv6", dropped("not-the-gateway", "tcp", 443, address6));
  assert.equal((await curl(mesh, A, [...short, `http://${address}:8080/`])).status, 0);
  await logged("another port", dropped("not-the-gateway", "tcp", 8080));
  assert.equal((await curl(mesh, A, [...short, "http://1.1.1.1/"])).status, 0);
  await logged("an address of the internet", dropped("not-the-gateway", "tcp", 80, "1.1.1.1"));
  const datagrams = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("${address}", 443))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.sendto(b"x", ("${address6}", 443))
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.sendto(b"\\x08\\0\\xf7\\xff\\0\\0\\0\\0", ("${address}", 0))
`;
  const sent = await inPod(mesh, A, ["python3", "-c", datagrams], true);
  assert.equal(sent.code, 0, sent.stderr);
  await logged("UDP 443", dropped("not-tcp", "udp", 443, address));
  await logged("UDP 443 over IPv6", dropped("not-tcp", "udp", 443, address6));
  await logged("ICMP", dropped("not-tcp", "icmp", undefined, address));
});

test("the gateway's address is of no use to another pod, and the network itself takes nothing but DNS", {
  skip: SKIP,
}, async () => {
  const { address } = mesh.pod(GATEWAY);
  const standIn = mesh.assignments.standIns[0]?.address ?? "";
  assert.equal((await inPod(mesh, A, ["ip", "addr", "add", address, "dev", "lo"], true)).code, 0);
  const spoofed = await curl(
    mesh,
    A,
    ["-m", "2", "--interface", address, `http://${standIn}:443/`],
    [],
    true,
  );
  assert.equal(spoofed.status, 0);
  const record = await logged("the forged address", ({ reason }) => reason === "spoofed-address");
  assert.deepEqual([record.source?.workload, record.source?.ip], [A, address]);
  await curl(mesh, A, ["-m", "2", "http://169.254.1.1:22/"], [], true);
  await logged("a port of the network", dropped("to-the-node", "tcp", 22, "169.254.1.1"));
});

test("another pod's application is reached by no plaintext; another team's not at all, until its NetworkPolicy lets it", {
  skip: SKIP,
}, async () => {
  const { address } = mesh.pod("team-a/app-a-1");
  assert.equal((await curl(mesh, A, [`http://${address}:8080/`], AS_PROXY, true)).status, 0);
  const plaintext = await logged(
    "plaintext",
    ({ reason, direction }) => reason === "no-chain" && direction === "inbound",
  );
  assert.equal(plaintext.policy, "PeerAuthentication istio-system/default");
  const call = () => curl(mesh, "team-a/app-a-1", ["-m", "5", "http://app-b.team-b/"]);
  assert.notEqual((await call()).status, 200);
  const refused = await logged("the refusal below the mesh", ({ reason }) => reason === "network-policy");
  assert.deepEqual(
    [refused.policy, refused.source?.workload, refused.destination?.workload],
    ["NetworkPolicy team-a/egress-only-through-gateway", A, B],
  );
  writeFileSync(join(files, "60-open.yaml"), OPEN);
  await until(async () => (await call()).status === 200, "a policy that was added lets it through, live");
  rmSync(join(files, "60-open.yaml"));
  await until(async () => (await call()).status !== 200, "without it nothing does");
});

test("a pod's root is nobody on the machine, and enters no other namespace", { skip: SKIP }, async () => {
  const { stdout } = await inPod(
    mesh,
    A,
    [
      "sh",
      "-c",
      `id -u; ls ${mesh.state.root} 2>&1 | tail -1; ls /run; cat /etc/shadow 2>&1 | tail -1; nsenter --net=/proc/${mesh.upPid}/ns/net true 2>&1 | tail -1`,
    ],
    true,
  );
  const [id, ...refusals] = stdout.trim().split("\n");
  assert.equal(id, "0");
  assert.equal(refusals.length, 3, stdout);
  const [state = "", ...others] = refusals;
  // The state lies in the machine's /tmp, of which a pod sees nothing; who does gets no further than its mode.
  assert.match(state, /No such file/);
  assert.equal(statSync(mesh.state.root).mode & 0o777, 0o700);
  for (const refusal of others) assert.match(refusal, /denied|not permitted/);
  const user = await inPod(mesh, A, ["id", "-u"]);
  assert.equal(user.stdout.trim(), "1000");
});

test("files lead past no network: each pod has a place of its own where anybody may write", {
  skip: SKIP,
}, async () => {
  for (const folder of ["/tmp", "/var/tmp", "/dev/shm"]) {
    const file = `${folder}/bulwark-${process.pid}`;
    await inPod(mesh, A, ["sh", "-c", `echo own > ${file}; chmod 666 ${file}`]);
    const own = await inPod(mesh, A, ["sh", "-c", `cat ${file} || true`], true);
    assert.match(own.stdout, /own/, `${folder} is one for all of a pod's processes`);
    const other = await inPod(mesh, B, ["sh", "-c", `cat ${file} || echo none`]);
    assert.match(other.stdout, /none/, `${folder} of another pod`);
    assert.ok(!existsSync(file), `${folder} of the machine`);
  }
  // Elsewhere nobody but their owner may make anything: a socket, for one.
  const writable =
    "find / -xdev -type d -perm -0002 -not -path '/tmp*' -not -path '/var/tmp*' 2>/dev/null || true";
  const found = await inPod(mesh, A, [
    "sh",
    "-c",
    `for d in $(${writable}); do touch $d/b$$ && echo $d; done`,
  ]);
  assert.equal(found.stdout.trim(), "");
});

test("of everything that was tried, only what the gateway sent has arrived outside", {
  skip: SKIP,
}, async () => {
  const { address } = mesh.pod(GATEWAY);
  const arrived = await arrivedOutside(mesh);
  assert.deepEqual([...arrived.keys()], [address]);
  assert.ok((arrived.get(address) ?? 0) > 0);
});

test("`call` calls from inside of the pod; `env` has no variables for one whose traffic is captured", {
  skip: SKIP,
}, async () => {
  const call = await mesh.call(B, "https://mongo1.composedb.com/");
  assert.equal(call.result, "answered");
  const refused = await mesh.call(B, IBM);
  assert.deepEqual([refused.result, refused.refusal?.layer], ["refused", "authorization"]);
  assert.match((await mesh.run("env", A)).stderr, /network namespaces/);
});

test("at the end nothing is left of it", { skip: SKIP }, async () => {
  assert.equal(await mesh.interrupt(), 0);
  assert.deepEqual(leftBehind(mesh.state.root), []);
});
