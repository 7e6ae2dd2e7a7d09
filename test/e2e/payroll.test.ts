import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { identifyProcess } from "../../src/control/process-identity.ts";
import { readRunBook } from "../../src/control/run-book.ts";
import type { CallOutcome } from "../../src/control/run-call.ts";
import type { Decision } from "../../src/index.ts";
import { BULWARK, bulwark } from "../cli/run-bulwark.ts";
import { until } from "../control/until.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const AUDITOR = "finance/account-auditor";
const files = mkdtempSync(join(tmpdir(), "payroll-"));
const policyFile = join(files, "mesh.yaml");
let mesh: TestMesh;
let payroll = "";

before(async () => {
  cpSync("../shared/scenarios/payroll", files, { recursive: true });
  mesh = await startMesh([files]);
  payroll = (await mesh.status()).pods.find(({ pod }) => pod === "finance/payroll-0")?.address ?? "";
});
after(async () => {
  await mesh.stop();
  removeState(mesh);
  rmSync(files, { recursive: true, force: true });
});

function json(outcome: CallOutcome): Record<string, unknown> {
  return JSON.parse(outcome.answer.body.toString("utf8"));
}

/** Names of the root certificates' files, which hold their serial numbers. */
function rootsOf({ state }: TestMesh): readonly string[] {
  const roots = readdirSync(state.caFolder).filter((name) => /^root-.*\.crt\.pem$/.test(name));
  assert.ok(roots.length > 0);
  return roots;
}

function assertRefusedBy(outcome: CallOutcome, reporter: string, status: number, layer: string): void {
  const { result, answer, account } = outcome;
  assert.deepEqual(
    [result, answer.status, account.refusal?.reporter, account.refusal?.verdict, account.refusal?.layer],
    ["refused", status, reporter, "deny", layer],
  );
}

test("account-auditor's GET /accounts/7 is answered, and payroll is told who asks", async () => {
  const outcome = await mesh.call(AUDITOR, "http://payroll.finance/accounts/7");
  assert.deepEqual([outcome.result, outcome.answer.status], ["answered", 200]);
  const saw = json(outcome);
  assert.deepEqual([saw.workload, saw.path], ["finance/payroll", "/accounts/7"]);
  const [peer] = saw.peer as { uri: string }[];
  assert.equal(peer?.uri, "spiffe://cluster.local/ns/finance/sa/account-auditor");
});

test("another method, another path, another workload and another port are refused by payroll's sidecar", async () => {
  const [post, salaries, intranet, ledger] = await Promise.all([
    mesh.call(AUDITOR, "http://payroll.finance/accounts/7", { method: "POST", body: Buffer.from("{}") }),
    mesh.call(AUDITOR, "http://payroll.finance/salaries"),
    mesh.call("finance/intranet", "http://payroll.finance/accounts/7"),
    mesh.call(AUDITOR, "tcp://payroll.finance:9000", { body: Buffer.from("hello") }),
  ]);
  assertRefusedBy(post, "finance/payroll", 403, "authorization");
  assertRefusedBy(salaries, "finance/payroll", 403, "authorization");
  assertRefusedBy(intranet, "finance/payroll", 403, "authorization");
  assertRefusedBy(ledger, "finance/payroll", 0, "authorization");
});

test("HTTP/2 with prior knowledge meets the same policy, and becomes what the server's port says", async () => {
  const allowed = await mesh.call(AUDITOR, "http://payroll.finance/accounts/7", { http2: true });
  assert.deepEqual(
    [allowed.result, allowed.answer.status, json(allowed).protocol],
    ["answered", 200, "HTTP/1.1"],
  );
  assertRefusedBy(
    await mesh.call(AUDITOR, "http://payroll.finance/salaries", { http2: true }),
    "finance/payroll",
    403,
    "authorization",
  );
});

test("plaintext, and TLS without a certificate of the mesh, get no answer from outside", async () => {
  const plaintext = new Promise((_, reject) => {
    request({ host: payroll, port: 8080, path: "/accounts/7", agent: false })
      .on("error", reject)
      .on("response", () => reject(new Error("answered")))
      .end();
  });
  await assert.rejects(plaintext, /socket hang up|ECONNRESET/);
  const socket = connectTls({
    host: payroll,
    port: 8080,
    rejectUnauthorized: false,
    ALPNProtocols: ["istio"],
  });
  socket.on("secureConnect", () => socket.write("GET /accounts/7 HTTP/1.1\r\nhost: payroll.finance\r\n\r\n"));
  const outcome = await new Promise<string>((settle) => {
    socket.on("data", (data) => settle(`data: ${String(data)}`));
    socket.on("error", (error: NodeJS.ErrnoException) => settle(String(error.code)));
    socket.on("close", () => settle("closed"));
  });
  assert.match(outcome, /CERTIFICATE_REQUIRED|closed|ECONNRESET/);
});

test("the outbound proxy of a sidecar serves only those who have the pod's secret", async () => {
  const auditor = (await mesh.status()).pods.find(({ pod }) => pod === "finance/account-auditor-0");
  const socket = connect(15_001, auditor?.address ?? "");
  socket.end(
    "GET http://payroll.finance/accounts/7 HTTP/1.1\r\nhost: payroll.finance\r\nproxy-authorization: Basic YTpi\r\n\r\n",
  );
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  assert.match(answer, /^HTTP\/1\.1 407 /);
});

test("`bulwark call` prints the answer, or who refused, and exits 0 or 2", async () => {
  const allowed = await bulwark([
    "call",
    AUDITOR,
    "http://payroll.finance/accounts/7",
    "--state",
    mesh.state.root,
  ]);
  assert.deepEqual([allowed.code, allowed.stderr, JSON.parse(allowed.stdout).path], [0, "", "/accounts/7"]);
  const refused = await bulwark([
    "call",
    AUDITOR,
    "http://payroll.finance/salaries",
    "--state",
    mesh.state.root,
  ]);
  assert.equal(refused.code, 2);
  assert.match(
    refused.stderr,
    /^refused: finance\/account-auditor → .*HTTP 403\n {2}finance\/payroll refused/,
  );
  assert.equal(refused.stdout, "RBAC: access denied", "the answer stays as it came");
  const together = join(files, "..", `together-${process.pid}.txt`);
  const one = openSync(together, "w");
  const args = ["call", AUDITOR, "http://payroll.finance/salaries", "--state", mesh.state.root];
  spawnSync(BULWARK, args, { stdio: ["ignore", one, one] });
  assert.match(readFileSync(together, "utf8"), /^RBAC: access denied\nrefused: /);
  rmSync(together);
  const unknown = await bulwark(["call", "finance/account-audit", "http://x/", "--state", mesh.state.root]);
  assert.deepEqual([unknown.code, /did you mean `finance\/account-auditor`/.test(unknown.stderr)], [3, true]);
});

test("`bulwark flows` has the refusals, live and by filter", async () => {
  const { code, stdout } = await bulwark([
    "flows",
    "--verdict",
    "deny",
    "--to",
    "finance/payroll",
    "--path",
    "/salaries",
    "--format",
    "json",
    "--state",
    mesh.state.root,
  ]);
  assert.equal(code, 0);
  const [record] = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    [record.verdict, record.reporter, record.source.principal, record.status],
    ["deny", "finance/payroll", "cluster.local/ns/finance/sa/account-auditor", 403],
  );
});

test("`bulwark flows` and `bulwark can` explain the intranet's refusal in the same words: policy, rule and what it wanted", async () => {
  const url = "http://payroll.finance/accounts/7";
  const { account } = await mesh.call("finance/intranet", url);
  const live = account.refusal?.explanation ?? [];
  const asked = await bulwark(["can", "finance/intranet", url, "--mesh", policyFile, "--format", "json"]);
  const [decision] = JSON.parse(asked.stdout).decisions as Decision[];
  const atServer = decision?.explanation.filter((line) => line.startsWith("finance/payroll: "));
  assert.deepEqual(
    live,
    atServer?.map((line) => line.slice("finance/payroll: ".length)),
  );
  assert.match(
    live.join("\n"),
    /nearest rule .* rule 0 of AuthorizationPolicy finance\/auditor-reads-accounts/,
  );
  assert.match(live.join("\n"), /it wants principals in \[.*sa\/account-auditor\]; came .*sa\/intranet/);
  const told = await bulwark([
    ...["flows", "--verdict", "deny", "--from", "finance/intranet", "--to", "finance/payroll"],
    ...["--path", "/accounts/7", "-n", "1", "--state", mesh.state.root],
  ]);
  const [head, ...lines] = told.stdout.trimEnd().split("\n");
  assert.match(head ?? "", /DENY .*finance\/intranet → finance\/payroll:8080 .*403/);
  assert.deepEqual(
    lines.map((line) => line.trim()),
    live,
  );
});

test("an edited policy is in force in under a second; a broken one is refused and changes nothing", async () => {
  const good = readFileSync(policyFile, "utf8");
  const versions = async () => (await mesh.status()).pods.map((pod) => pod.configurationVersion ?? 0);
  const edit = async (text: string) => {
    const before = Math.max(...(await versions()));
    const from = performance.now();
    writeFileSync(policyFile, text);
    await until(async () => Math.min(...(await versions())) > before);
    return performance.now() - from;
  };
  const open = good.replace('paths: ["/accounts/*"]', 'paths: ["/accounts/*", "/salaries"]');
  // The machine may be busy elsewhere for a moment: the quickest of three counts.
  const tookMs = [await edit(open), await edit(good), await edit(open)];
  assert.ok(Math.min(...tookMs) < 1000, `took ${tookMs} ms`);
  assert.equal((await mesh.call(AUDITOR, "http://payroll.finance/salaries")).answer.status, 200);
  writeFileSync(policyFile, good.replace("action: ALLOW", "action: ALOW"));
  await until(() => mesh.events.some(({ kind }) => kind === "configuration-refused"));
  assert.equal((await mesh.call(AUDITOR, "http://payroll.finance/salaries")).answer.status, 200);
  await edit(good);
  assertRefusedBy(
    await mesh.call(AUDITOR, "http://payroll.finance/salaries"),
    "finance/payroll",
    403,
    "authorization",
  );
});

test("a workload that is added runs, one that is removed is gone, the others keep their processes", async () => {
  const before = new Map((readRunBook(mesh.state)?.children ?? []).map(({ name, pid }) => [name, pid]));
  const good = readFileSync(policyFile, "utf8");
  writeFileSync(
    join(files, "new.yaml"),
    `apiVersion: v1
kind: Pod
metadata: {name: newcomer, namespace: finance, labels: {app: newcomer}}
spec: {containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}
`,
  );
  await until(async () =>
    (await mesh.status()).pods.some(({ pod, connected }) => pod === "finance/newcomer" && connected),
  );
  await until(async () =>
    (await mesh.status()).pods.every(({ configurationVersion }) => configurationVersion >= 4),
  );
  assertRefusedBy(
    await mesh.call("finance/newcomer", "http://payroll.finance/accounts/7"),
    "finance/payroll",
    403,
    "authorization",
  );
  rmSync(join(files, "new.yaml"));
  await until(() => !(readRunBook(mesh.state)?.children ?? []).some(({ name }) => name.includes("newcomer")));
  for (const { name, pid } of readRunBook(mesh.state)?.children ?? [])
    assert.equal(pid, before.get(name), name);
  assert.equal(readFileSync(policyFile, "utf8"), good);
});

test("each process that is killed is back, and the calls come out as before", async () => {
  for (const part of ["proxy finance/payroll-0", "apps", "control", `proxy ${AUDITOR}-0`]) {
    const victim = (readRunBook(mesh.state)?.children ?? []).find(({ name }) => name.startsWith(part));
    assert.ok(victim !== undefined, part);
    process.kill(victim.pid, "SIGKILL");
    await until(async () => {
      try {
        const { answer } = await mesh.call(AUDITOR, "http://payroll.finance/accounts/7");
        return answer.status === 200 && identifyProcess(victim.pid) === undefined;
      } catch {
        return false;
      }
    });
  }
  await until(async () => (await mesh.status()).pods.every(({ connected }) => connected));
  assertRefusedBy(
    await mesh.call(AUDITOR, "http://payroll.finance/salaries"),
    "finance/payroll",
    403,
    "authorization",
  );
});

test("a mesh whose supervisor is killed goes on; the next up takes over with the same roots, addresses and log", async () => {
  const roots = rootsOf(mesh);
  const children = readRunBook(mesh.state)?.children ?? [];
  mesh.up.kill("SIGKILL");
  await until(() => identifyProcess(mesh.up.pid ?? 0) === undefined);
  assert.equal((await mesh.call(AUDITOR, "http://payroll.finance/accounts/7")).answer.status, 200);
  const rowsBefore = (await mesh.status()).flowLog.rows;
  mesh = await startMesh([files], mesh.state.root);
  for (const { pid, startTime } of children) assert.notEqual(identifyProcess(pid)?.startTime, startTime);
  assert.deepEqual(rootsOf(mesh), roots);
  const status = await mesh.status();
  assert.ok(status.flowLog.rows >= rowsBefore);
  assert.equal(status.pods.find(({ pod }) => pod === "finance/payroll-0")?.address, payroll);
  assert.equal((await mesh.call(AUDITOR, "http://payroll.finance/accounts/7")).answer.status, 200);
});

test("a second up on the same state is refused and harms nothing", async () => {
  const second = await bulwark(["up", files, "--state", mesh.state.root]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`process ${mesh.up.pid} already runs a mesh`));
  assert.equal((await mesh.call(AUDITOR, "http://payroll.finance/accounts/7")).answer.status, 200);
});

test("Ctrl-C ends every process and leaves no socket", async () => {
  const children = readRunBook(mesh.state)?.children ?? [];
  assert.ok(children.length >= 5);
  assert.equal(await mesh.stop(), 0);
  for (const { name, pid, startTime } of children)
    assert.notEqual(identifyProcess(pid)?.startTime, startTime, `${name} still runs`);
  for (const path of [mesh.state.controlSocket, mesh.state.runBook, mesh.state.lock])
    assert.equal(existsSync(path), false, path);
});
