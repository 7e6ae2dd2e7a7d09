import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { changeJournal } from "../../src/control/change-journal.ts";
import { ConfigurationKeeper } from "../../src/control/configuration-keeper.ts";
import { connectAdmin, dialControl } from "../../src/control/control-link.ts";
import { ControlPlane } from "../../src/control/control-plane.ts";
import { loadConfiguration } from "../../src/control/load-configuration.ts";
import type {
  ControlEvent,
  PodConfigurationPush,
  SignAnswer,
  StatusReport,
} from "../../src/control/messages.ts";
import type { RpcPeer } from "../../src/control/rpc.ts";
import { createStateFolder } from "../../src/control/state-folder.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import { TokenFiles } from "../../src/control/token-files.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS } from "../../src/identity/key-algorithm.ts";
import { openTokenIssuer } from "../../src/identity/service-account-token.ts";
import { type FlowRecord, nowRfc3339Nanos } from "../../src/model/flow-record.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { type Assignments, podKey, tokenHolders } from "../../src/substrate/assignment.ts";
import { loopbackSubstrate } from "../../src/substrate/loopback.ts";
import type { FlowPage } from "../../src/telemetry/flow-query.ts";
import { until } from "./until.ts";

const folder = mkdtempSync(join(tmpdir(), "control-"));
const files = join(folder, "files");
const state = createStateFolder(join(folder, "state"));
const policyFile = join(files, "mesh.yaml");
let control: ControlPlane;
let tokens: TokenFiles;
let assignments: Assignments;
const events: ControlEvent[] = [];

before(async () => {
  cpSync("../shared/scenarios/payroll", files, { recursive: true });
  const keeper = new ConfigurationKeeper(
    state,
    loopbackSubstrate({ meshId: "test", simulateExternal: false, fresh: true }),
  );
  assert.deepEqual(await keeper.offer(await loadConfiguration([files])), []);
  assert.ok(keeper.current !== undefined);
  assignments = keeper.current.assignments;
  writeFileSync(state.adminToken, randomBytes(32).toString("hex"), { mode: 0o600 });
  tokens = await TokenFiles.open(state, () => {});
  await tokens.apply(tokenHolders(assignments));
  control = await openControl();
  const watcher = await connectAdmin(state, { event: (event) => events.push(event as ControlEvent) });
  await watcher.request("subscribe", {}, 5000);
});
after(async () => {
  tokens.close();
  await control.close();
  rmSync(folder, { recursive: true, force: true });
});

async function openControl(): Promise<ControlPlane> {
  const opened = await ControlPlane.open(state, {
    statePath: state.root,
    sources: [files],
    certTtlSeconds: 0,
    simulateExternal: false,
  });
  await opened.serve();
  return opened;
}

interface FakeProxy {
  readonly peer: RpcPeer;
  readonly pushes: PodConfigurationPush[];
}

async function fakeProxy(
  pod: string,
  answer: (push: PodConfigurationPush) => unknown = () => ({}),
): Promise<FakeProxy> {
  const pushes: PodConfigurationPush[] = [];
  const peer = await dialControl(state.controlSocket, {
    configure: (params) => {
      pushes.push(params as PodConfigurationPush);
      return answer(params as PodConfigurationPush);
    },
  });
  await peer.request("hello", { token: tokenOf(pod) }, 5000);
  await until(() => pushes.length > 0);
  return { peer, pushes };
}

function tokenOf(pod: string): string {
  return readFileSync(tokenFile(state, pod), "utf8").trim();
}

async function status(): Promise<StatusReport> {
  const peer = await connectAdmin(state);
  const report = (await peer.request("status", {}, 5000)) as StatusReport;
  peer.close();
  return report;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error instanceof BulwarkError ? error.code : String(error);
  }
}

/** The CA's records of one reason, the newest first. */
async function denials(reason: string, atLeast = 1): Promise<readonly FlowRecord[]> {
  const admin = await connectAdmin(state);
  let records: readonly FlowRecord[] = [];
  await until(async () => {
    const asked = { filter: ["--reason", reason], order: "newest", limit: 10 };
    const { flows } = (await admin.request("flows.query", asked, 5000)) as FlowPage;
    records = flows.map(({ record }) => record);
    return records.length >= atLeast;
  });
  admin.close();
  return records;
}

async function csr(): Promise<string> {
  return encodeCsr((await KEY_ALGORITHMS["ecdsa-p256"].generate()).privateKey).toString("base64");
}

test("a proxy gets the configuration, only its own application's ports, and a certificate for its own account", async () => {
  const { peer, pushes } = await fakeProxy("finance/payroll-0");
  const [push] = pushes;
  assert.ok(push !== undefined);
  assert.deepEqual(
    push.applicationPorts.map(({ port }) => port),
    [8080, 9000],
  );
  assert.equal(push.placement.pods.length, 3);
  const secrets = assignments.pods.map(({ outboundSecret }) => outboundSecret);
  assert.ok(!secrets.some((secret) => JSON.stringify(push).includes(secret)));
  const answer = (await peer.request(
    "sign",
    { token: tokenOf("finance/payroll-0"), csr: await csr() },
    5000,
  )) as SignAnswer;
  assert.match(answer.chainPem, /^-----BEGIN CERTIFICATE-----/);
  await until(() =>
    events.some((event) => event.kind === "certificate" && event.identity.endsWith("/sa/payroll")),
  );
  peer.close();
});

test("nothing but hello is answered before hello, and each false token is refused, counted and logged", async () => {
  const refusedBefore = (await status()).ca.refused;
  const peer = await dialControl(state.controlSocket);
  assert.equal(await codeOf(peer.request("sign", { token: "", csr: "" }, 5000)), "BW_CA_NO_HELLO");
  assert.equal(await codeOf(peer.request("status", {}, 5000)), "BW_RPC_REFUSED");
  assert.equal(await codeOf(peer.request("hello", { token: "x" }, 5000)), "BW_TOKEN_MALFORMED");
  assert.equal(await codeOf(peer.request("hello", null, 5000)), "BW_RPC_BAD_PARAMS");
  const issuer = await openTokenIssuer(state.root);
  const gone = await issuer.mintToken({
    namespace: "finance",
    serviceAccount: { name: "payroll", uid: "finance/payroll" },
    pod: { name: "payroll-0", uid: "another-uid" },
  });
  assert.equal(await codeOf(peer.request("hello", { token: gone }, 5000)), "BW_TOKEN_POD_GONE");
  const stranger = await openTokenIssuer(join(folder, "stranger"));
  const [pod] = assignments.pods;
  assert.ok(pod !== undefined);
  const forged = await stranger.mintToken({
    namespace: pod.namespace,
    serviceAccount: { name: pod.serviceAccount, uid: "" },
    pod: { name: pod.name, uid: pod.uid },
  });
  assert.equal(await codeOf(peer.request("hello", { token: forged }, 5000)), "BW_TOKEN_UNKNOWN_KEY");
  assert.equal(await codeOf(peer.request("admin", { token: "guess" }, 5000)), "BW_ADMIN_TOKEN");
  assert.equal((await status()).ca.refused, refusedBefore + 4);
  const own = tokenOf("finance/intranet-0");
  assert.equal(await codeOf(peer.request("sign", { token: own, csr: await csr() }, 5000)), "BW_CA_NO_HELLO");
  peer.close();
  const records = await denials("BW_CA_NO_HELLO", 2);
  assert.deepEqual(
    records.map(({ layer, source }) => [layer, source?.workload]),
    [
      ["ca", "finance/intranet"],
      ["ca", undefined],
    ],
  );
});

test("who shows a pod's token while its proxy lives gets the pod's certificate, but not its session, and is recorded", async () => {
  const { peer } = await fakeProxy("finance/intranet-0");
  const token = tokenOf("finance/intranet-0");
  const second = await dialControl(state.controlSocket);
  assert.equal(await codeOf(second.request("hello", { token }, 5000)), "BW_SESSION_TAKEN");
  assert.equal(await codeOf(second.request("flows", { records: [] }, 5000)), "BW_RPC_REFUSED");
  const answer = (await second.request("sign", { token, csr: await csr() }, 5000)) as SignAnswer;
  assert.match(answer.chainPem, /^-----BEGIN CERTIFICATE-----/);
  assert.equal(
    await codeOf(peer.request("flows", { records: [] }, 5000)),
    "none",
    "the first is still the proxy",
  );
  const [record] = await denials("BW_SESSION_TAKEN");
  assert.deepEqual(
    [record?.verdict, record?.layer, record?.source?.workload],
    ["deny", "ca", "finance/intranet"],
  );
  peer.close();
  second.close();
  (await fakeProxy("finance/intranet-0")).peer.close();
});

test("a connection of one pod cannot get a certificate with another pod's token", async () => {
  const { peer } = await fakeProxy("finance/intranet-0");
  const stolen = tokenOf("finance/account-auditor-0");
  assert.equal(
    await codeOf(peer.request("sign", { token: stolen, csr: await csr() }, 5000)),
    "BW_TOKEN_CLAIMS",
  );
  peer.close();
});

test("a proxy's records are stored once, and only under its own name", async () => {
  const { peer } = await fakeProxy("finance/intranet-0");
  const record = (reporter: string, id: string) => ({
    id,
    time: nowRfc3339Nanos(),
    kind: "request",
    reporter,
    verdict: "allow",
    method: "PUT",
  });
  const own = record("finance/intranet", "finance/intranet@aa:1");
  const others = record("finance/payroll", "finance/payroll@aa:1");
  await peer.request("flows", { records: [own, others, "nonsense"] }, 5000);
  await peer.request("flows", { records: [own] }, 5000);
  const admin = await connectAdmin(state);
  const page = (await admin.request(
    "flows.query",
    { filter: ["--method", "PUT", "--since", "2025-01-01T00:00:00Z"], limit: 10 },
    5000,
  )) as {
    flows: { record: { reporter: string } }[];
  };
  assert.deepEqual(
    page.flows.map(({ record }) => record.reporter),
    ["finance/intranet"],
  );
  assert.equal(
    await codeOf(admin.request("flows.query", { filter: ["--nonsense", "x"], limit: 10 }, 5000)),
    "BW_FLOWS_BAD_FILTER",
  );
  admin.close();
  peer.close();
});

test("a saved change reaches every proxy in under a second; a bad one none, with all its errors, and it does not survive", async () => {
  const { peer, pushes } = await fakeProxy("finance/payroll-0");
  const good = readFileSync(policyFile, "utf8");
  const save = async (text: string) => {
    const from = performance.now();
    const versionBefore = pushes.at(-1)?.version ?? 0;
    writeFileSync(policyFile, text);
    await until(() => (pushes.at(-1)?.version ?? 0) > versionBefore);
    return performance.now() - from;
  };
  const changed = good.replace("methods: [GET]", "methods: [GET, HEAD]");
  // The machine may be busy elsewhere for a moment: the quickest of three counts.
  const tookMs = [await save(changed), await save(good), await save(changed)];
  assert.ok(Math.min(...tookMs) < 1000, `took ${tookMs} ms`);
  assert.match(JSON.stringify(pushes.at(-1)), /"HEAD"/);
  const count = pushes.length;
  writeFileSync(
    policyFile,
    good.replace("action: ALLOW", "action: ALOW").replace("mode: STRICT", "mode: STRIKT"),
  );
  await until(() => events.some((event) => event.kind === "configuration-refused"));
  const refused = (await status()).configuration.refused;
  assert.equal(refused?.errors.length, 2);
  for (const error of refused?.errors ?? []) assert.ok((error.span?.line ?? 0) > 1, error.message);
  assert.equal(pushes.length, count);
  // What a restart would begin with is what was in force.
  assert.match(readFileSync(state.configuration, "utf8"), /"HEAD"/);
  assert.equal(statSync(state.configuration).mode & 0o777, 0o600);
  writeFileSync(policyFile, good);
  await until(async () => (await status()).configuration.refused === null);
  peer.close();
});

test("a save that is cut off for a moment takes no policy away; one that stays so is told by name, with the workloads", async () => {
  const { peer, pushes } = await fakeProxy("finance/payroll-0");
  const good = readFileSync(policyFile, "utf8");
  const cut = good.slice(0, good.indexOf("---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy"));
  assert.notEqual(cut, good.slice(0, -1));
  const saved = good.replace("methods: [GET]", "methods: [GET, OPTIONS]");
  for (const part of ["", cut]) {
    const [count, version] = [pushes.length, pushes.at(-1)?.version ?? 0];
    const change = part === "" ? saved : good;
    writeFileSync(policyFile, part);
    await new Promise((resolve) => setTimeout(resolve, 200));
    writeFileSync(policyFile, change);
    await until(() => (pushes.at(-1)?.version ?? 0) > version);
    assert.deepEqual(pushes.slice(count).map(hasPolicy), [true]);
  }
  assert.ok(!events.some((event) => event.kind === "configuration-refused" && isEmptied(event.errors)));
  writeFileSync(policyFile, cut);
  await until(() => !hasPolicy(pushes.at(-1)));
  const { lastChange } = (await status()).configuration;
  const policy = "AuthorizationPolicy finance/auditor-reads-accounts";
  assert.deepEqual(
    lastChange?.removed.map(({ resource, file, line }) => [resource, file, line]),
    [[policy, policyFile, good.split("\n").findIndex((line) => line.includes("auditor-reads-accounts")) + 1]],
  );
  assert.deepEqual(
    lastChange?.accessGrowth.map(({ resource, workloads }) => [resource, workloads]),
    [[policy, ["finance/payroll"]]],
  );
  const event = events.findLast(({ kind }) => kind === "configuration-accepted");
  assert.deepEqual(event?.kind === "configuration-accepted" ? event.change : undefined, lastChange);
  assert.deepEqual(
    JSON.parse(readFileSync(changeJournal(state), "utf8").trim().split("\n").at(-1) ?? ""),
    lastChange,
  );
  writeFileSync(policyFile, good);
  await until(() => hasPolicy(pushes.at(-1)));
  peer.close();
});

test("a file that stays empty is refused and named; the configuration before it stays", async () => {
  const { peer, pushes } = await fakeProxy("finance/payroll-0");
  const good = readFileSync(policyFile, "utf8");
  const count = pushes.length;
  writeFileSync(policyFile, "");
  await until(async () => isEmptied((await status()).configuration.refused?.errors ?? []));
  assert.equal(pushes.length, count);
  writeFileSync(policyFile, good);
  await until(async () => (await status()).configuration.refused === null);
  peer.close();
});

test("a file that is removed takes its policies back, on purpose, and is named", async () => {
  const { peer, pushes } = await fakeProxy("finance/payroll-0");
  const file = join(files, "deny.yaml");
  const deny = `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nobody, namespace: finance}\nspec: {action: DENY, rules: [{}]}\n`;
  writeFileSync(file, deny);
  await until(() => JSON.stringify(pushes.at(-1)).includes('"DENY"'));
  rmSync(file);
  await until(() => !JSON.stringify(pushes.at(-1)).includes('"DENY"'));
  const { lastChange } = (await status()).configuration;
  assert.deepEqual(lastChange?.filesGone, [file]);
  assert.equal(lastChange?.accessGrowth.length, 1);
  assert.equal(lastChange?.accessGrowth[0]?.workloads.length, 3);
  peer.close();
});

function hasPolicy(push: PodConfigurationPush | undefined): boolean {
  return JSON.stringify(push).includes("auditor-reads-accounts");
}

function isEmptied(errors: readonly { code: string }[]): boolean {
  return errors.some(({ code }) => code === "BW0904_FILE_EMPTIED");
}

test("a proxy that does not take a configuration is told of, and asked again", async () => {
  let calls = 0;
  const { peer } = await fakeProxy("finance/account-auditor-0", () => {
    if (++calls === 1) throw new BulwarkError("BW_NO", "the port is taken");
    return {};
  });
  await until(() =>
    events.some((event) => event.kind === "proxy-refused" && event.why === "the port is taken"),
  );
  await until(() =>
    events.some((event) => event.kind === "proxy-applied" && event.pod === "finance/account-auditor-0"),
  );
  peer.close();
});

test("nonsense on the socket harms nobody, and the socket is closed to others", async () => {
  assert.equal(statSync(state.controlSocket).mode & 0o777, 0o600);
  for (const bytes of ["\0\0\0\n", "{}\n", '{"id":1,"method":"hello"}\n', "x".repeat(100_000)]) {
    const socket = connect(state.controlSocket);
    socket.on("error", () => {});
    socket.end(bytes);
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  }
  assert.equal((await status()).trustDomain, "cluster.local");
});

test("a control plane that starts while the files are bad goes on with the last good configuration and says so", async () => {
  const good = readFileSync(policyFile, "utf8");
  await control.close();
  writeFileSync(policyFile, `${good}\n---\nkind: [`);
  control = await openControl();
  const { peer, pushes } = await fakeProxy("finance/payroll-0");
  assert.equal(pushes[0]?.resources.length, 13);
  await until(async () => (await status()).configuration.refused !== null);
  assert.equal(assignments.pods.map(podKey).length, 3);
  peer.close();
  writeFileSync(policyFile, good);
});

test("a flow log that cannot be written is told; records are refused, not lost, and taken when it is back", async () => {
  const { peer } = await fakeProxy("finance/intranet-0");
  const line = JSON.stringify({
    id: "finance/intranet@bb:1",
    time: nowRfc3339Nanos(),
    kind: "request",
    reporter: "finance/intranet",
    verdict: "allow",
  });
  await control.close();
  rmSync(state.flowLog);
  rmSync(`${state.flowLog}-wal`, { force: true });
  rmSync(`${state.flowLog}-shm`, { force: true });
  // A folder in its place cannot be opened as a database, by root neither.
  cpSync(files, state.flowLog, { recursive: true });
  control = await openControl();
  const again = await fakeProxy("finance/intranet-0");
  assert.notEqual(await codeOf(again.peer.request("flows", { records: [JSON.parse(line)] }, 5000)), "none");
  assert.equal((await status()).flowLog.ok, false);
  rmSync(state.flowLog, { recursive: true });
  await again.peer.request("flows", { records: [JSON.parse(line)] }, 5000);
  const { flowLog } = await status();
  assert.deepEqual([flowLog.ok, flowLog.rows >= 1], [true, true]);
  again.peer.close();
  peer.close();
});
