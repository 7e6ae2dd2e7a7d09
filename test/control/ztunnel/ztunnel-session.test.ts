import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { ConfigurationKeeper } from "../../../src/control/configuration-keeper.ts";
import { connectAdmin, dialControl } from "../../../src/control/control-link.ts";
import { ControlPlane } from "../../../src/control/control-plane.ts";
import { loadConfiguration } from "../../../src/control/load-configuration.ts";
import type {
  SignAnswer,
  StatusReport,
  ZtunnelConfigurationPush,
  ZtunnelWelcome,
} from "../../../src/control/messages.ts";
import { podSocket } from "../../../src/control/netns/pod-folders.ts";
import type { CaReport } from "../../../src/control/revocation/messages.ts";
import type { RotationReport } from "../../../src/control/rotation/messages.ts";
import type { RpcPeer } from "../../../src/control/rpc.ts";
import { createStateFolder } from "../../../src/control/state-folder.ts";
import { tokenFile } from "../../../src/control/token-file.ts";
import { TokenFiles } from "../../../src/control/token-files.ts";
import { encodeCsr } from "../../../src/identity/csr.ts";
import { KEY_ALGORITHMS } from "../../../src/identity/key-algorithm.ts";
import { type FlowRecord, nowRfc3339Nanos } from "../../../src/model/flow-record.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { type Assignments, tokenHolders } from "../../../src/substrate/assignment.ts";
import { netnsSubstrate } from "../../../src/substrate/netns/netns.ts";
import type { FlowPage } from "../../../src/telemetry/flow-query.ts";
import { until } from "../until.ts";

const PODS = [
  ["here", "one", "ambient"],
  ["beside", "one", "sidecar"],
  ["there", "two", "ambient"],
] as const;

const MESH = [
  "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: ns}\nstringData: {password: hidden-from-ztunnel}",
  ...PODS.map(
    ([name, node, mode]) => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: ns
  labels: ${mode === "ambient" ? "{istio.io/dataplane-mode: ambient}" : '{sidecar.istio.io/inject: "true"}'}
spec: {nodeName: ${node}, serviceAccountName: ${name}, containers: [{name: app, ports: [{containerPort: 8080}]}]}`,
  ),
].join("\n---\n");

const folder = mkdtempSync(join(tmpdir(), "ztunnel-"));
const files = join(folder, "files");
const state = createStateFolder(join(folder, "state"));
const ZTUNNEL = "istio-system/ztunnel-one";
const identityOf = (account: string) => `spiffe://cluster.local/ns/ns/sa/${account}`;

let control: ControlPlane;
let tokens: TokenFiles;
let assignments: Assignments;
let admin: RpcPeer;
let ztunnel: RpcPeer;
let welcome: ZtunnelWelcome;
const pushes: ZtunnelConfigurationPush[] = [];
const revoked: unknown[] = [];

before(async () => {
  mkdirSync(files);
  writeFileSync(join(files, "mesh.yaml"), MESH);
  const keeper = new ConfigurationKeeper(
    state,
    netnsSubstrate({ meshId: state.root, simulateExternal: false }),
  );
  assert.deepEqual(await keeper.offer(await loadConfiguration([files])), []);
  assignments = keeper.current?.assignments ?? assert.fail("no assignments");
  writeFileSync(state.adminToken, "admin", { mode: 0o600 });
  mkdirSync(dirname(podSocket(state)), { recursive: true });
  tokens = await TokenFiles.open(state, (message) => assert.fail(message));
  await tokens.apply(tokenHolders(assignments));
  control = await ControlPlane.open(state, {
    statePath: state.root,
    sources: [files],
    certTtlSeconds: 0,
    simulateExternal: false,
    substrate: "netns",
  });
  await control.serve();
  admin = await connectAdmin(state);
  ztunnel = await dialControl(state.controlSocket, {
    configure: (params) => {
      pushes.push(params as ZtunnelConfigurationPush);
      return {};
    },
    revoked: (params) => {
      revoked.push(params);
      return { cut: 2 };
    },
  });
  welcome = (await ztunnel.request("hello", { token: tokenOf(ZTUNNEL) }, 5000)) as ZtunnelWelcome;
});

after(async () => {
  ztunnel.close();
  admin.close();
  tokens.close();
  await control.close();
  rmSync(folder, { recursive: true, force: true });
});

function tokenOf(key: string): string {
  return readFileSync(tokenFile(state, key), "utf8").trim();
}

async function sign(pod: string, identity: string, token = tokenOf(ZTUNNEL)): Promise<SignAnswer> {
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const csr = encodeCsr(privateKey).toString("base64");
  return (await ztunnel.request("sign", { token, csr, pod, identity }, 5000)) as SignAnswer;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error instanceof BulwarkError ? error.code : String(error);
  }
}

/** The CA's records of one reason. */
async function denials(reason: string): Promise<readonly FlowRecord[]> {
  let records: readonly FlowRecord[] = [];
  await until(async () => {
    const asked = { filter: ["--reason", reason], order: "newest", limit: 10 };
    records = ((await admin.request("flows.query", asked, 5000)) as FlowPage).flows.map(
      ({ record }) => record,
    );
    return records.length > 0;
  });
  return records;
}

test("a ztunnel is told who it is, the ambient pods of its own node and no other's, and no Secret", async () => {
  assert.deepEqual([welcome.ztunnel.node, welcome.ztunnel.name], ["one", "ztunnel-one"]);
  await until(() => pushes.length > 0);
  const [push] = pushes;
  assert.deepEqual(
    push?.ambientPods.map(({ name, spiffeId }) => [name, spiffeId]),
    [["here", identityOf("here")]],
  );
  assert.ok(push.resources.length >= 3);
  assert.ok(!JSON.stringify(push).includes("hidden-from-ztunnel"));
  assert.ok(
    !JSON.stringify(push).includes(assignments.pods.find(({ proxied }) => proxied)?.outboundSecret ?? "?"),
  );
});

test("it gets a certificate for an ambient pod of its node: of exactly that identity, recorded as asked for by a ztunnel", async () => {
  const { chainPem, serial } = await sign("ns/here", identityOf("here"));
  assert.equal(new X509Certificate(chainPem).subjectAltName, `URI:${identityOf("here")}`);
  const { certificates } = (await admin.request("ca.status", { limit: 100 }, 5000)) as CaReport;
  const record = certificates.find((one) => one.serial === serial);
  assert.deepEqual([record?.identity, record?.method], [identityOf("here"), "ztunnel"]);
});

for (const [what, pod, account, code] of [
  ["a pod of another node", "ns/there", "there", "BW_CA_IMPERSONATION_NODE"],
  ["a pod that is not there", "ns/nowhere", "here", "BW_CA_IMPERSONATION_NODE"],
  ["a pod of its node behind a sidecar", "ns/beside", "beside", "BW_CA_IMPERSONATION_NOT_AMBIENT"],
  ["a pod of its own under another's identity", "ns/here", "there", "BW_CA_IMPERSONATION_IDENTITY"],
] as const)
  test(`it gets none for ${what}: refused with ${code}, counted and on record`, async () => {
    const before = ((await admin.request("status", {}, 5000)) as StatusReport).ca.refused;
    assert.equal(await codeOf(sign(pod, identityOf(account))), code);
    assert.equal(((await admin.request("status", {}, 5000)) as StatusReport).ca.refused, before + 1);
    const [record] = await denials(code);
    assert.equal(record?.verdict, "deny");
    assert.equal(record.layer, "ca");
    assert.equal(record.source?.workload, "istio-system/ztunnel");
  });

test("its session is worth nothing with another's token, and its token nothing for itself or in another's session", async () => {
  assert.equal(
    await codeOf(sign("ns/here", identityOf("here"), tokenOf("istio-system/ztunnel-two"))),
    "BW_TOKEN_CLAIMS",
  );
  assert.equal(await codeOf(sign("ns/here", identityOf("here"), tokenOf("ns/here"))), "BW_TOKEN_CLAIMS");
  assert.match(await codeOf(sign(ZTUNNEL, welcome.ztunnel.spiffeId)), /^BW_CA_IMPERSONATION_NODE$/);
  const second = await dialControl(state.controlSocket);
  assert.equal(await codeOf(second.request("hello", { token: tokenOf(ZTUNNEL) }, 5000)), "BW_SESSION_TAKEN");
  second.close();
});

test("an ambient pod's own token, which no pod is given, opens no session", async () => {
  const peer = await dialControl(state.controlSocket);
  assert.equal(
    await codeOf(peer.request("hello", { token: tokenOf("ns/here") }, 5000)),
    "BW_SESSION_NO_PROXY",
  );
  peer.close();
});

test("it reports for pods of its node, and for nobody else", async () => {
  const record = (n: number, source: string, destination: string, reporter = "ztunnel one"): FlowRecord => ({
    id: `${reporter}@test:${n}`,
    time: nowRfc3339Nanos(),
    kind: "connection",
    verdict: "allow",
    reporter,
    reason: "of-the-test",
    source: { workload: source },
    destination: { workload: destination },
  });
  const records = [
    record(1, "ns/here", "ns/there"),
    record(2, "ns/there", "ns/here"),
    record(3, "ns/there", "ns/beside"),
    record(4, "ns/here", "ns/there", "ztunnel two"),
    record(5, "ns/here", "ns/there", "ns/here"),
  ];
  await ztunnel.request("flows", { records }, 5000);
  const taken = (await denials("of-the-test")).map(({ id }) => id);
  assert.deepEqual([...taken].sort(), ["ztunnel one@test:1", "ztunnel one@test:2"]);
});

test("status and ca status tell of the pods' certificates by what their ztunnel reports", async () => {
  const { serial, notBefore, notAfter } = await sign("ns/here", identityOf("here"));
  const certificate = {
    serial,
    notBefore,
    notAfter,
    issuedAt: new Date().toISOString(),
    nextRotation: notAfter,
  };
  const report = { stats: null, certificate: null, flowsWaiting: 0, flowsDropped: 0 };
  ztunnel.notify("stats", { ...report, certificates: { [identityOf("here")]: certificate } });
  const status = (await admin.request("status", {}, 5000)) as StatusReport;
  const pod = (name: string) => status.pods.find((one) => one.pod === name);
  assert.deepEqual(
    [pod("ns/here")?.ztunnel, pod("ns/here")?.connected, pod("ns/here")?.report?.certificate?.serial],
    [ZTUNNEL, true, serial],
  );
  assert.deepEqual([pod("ns/there")?.connected, pod("ns/beside")?.ztunnel], [false, undefined]);
  assert.deepEqual(
    status.ztunnels.map(({ ztunnel: name, node, pods, connected }) => [name, node, pods, connected]),
    [
      [ZTUNNEL, "one", 1, true],
      ["istio-system/ztunnel-two", "two", 1, false],
    ],
  );
  const { certificates } = (await admin.request("ca.status", { limit: 100 }, 5000)) as CaReport;
  assert.equal(certificates.find((one) => one.serial === serial)?.usedBy, ZTUNNEL);
});

test("a rotation of the CA waits for ztunnels as for proxies", async () => {
  const report = (await admin.request("ca.rotation", {}, 5000)) as RotationReport;
  // The sidecar, and two ztunnels.
  assert.equal(report.proxies, 3);
});

test("a revoked identity is told to the ztunnel, which gets no other certificate for it until it is let in again", async () => {
  const spiffeId = identityOf("here");
  const outcome = (await admin.request("ca.revoke", { spiffeId, reason: "keyCompromise" }, 10_000)) as {
    connectionsCut: number;
  };
  assert.ok(revoked.length > 0);
  assert.equal(outcome.connectionsCut, 2);
  assert.equal(await codeOf(sign("ns/here", spiffeId)), "BW_CA_CREDENTIAL_CUT_OFF");
  // What `up` does when it is told.
  await tokens.cutOff(spiffeId, Date.now());
  await tokens.restore(spiffeId);
  await until(async () => (await codeOf(sign("ns/here", spiffeId))) === "none");
});

test("a ztunnel whose own identity was revoked gets nothing for anybody", async () => {
  await admin.request(
    "ca.revoke",
    { spiffeId: welcome.ztunnel.spiffeId, reason: "keyCompromise", block: true },
    10_000,
  );
  assert.equal(await codeOf(sign("ns/here", identityOf("here"))), "BW_CA_IDENTITY_BLOCKED");
});
