import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readAssignments } from "../../src/control/configuration-keeper.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { BULWARK } from "../cli/run-bulwark.ts";
import { until } from "../control/until.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const ALICE = "devices/laptop-alice";
const URL = "http://payroll.finance/accounts/7";
const files = mkdtempSync(join(tmpdir(), "device-"));
const contextFile = join(files, "context.yaml");
let mesh: TestMesh;

before(async () => {
  cpSync("examples/device", files, { recursive: true });
  const authorizer = `security/device-authorizer=exec ${BULWARK} authorizer ${join(files, "authorizer.yaml")}`;
  mesh = await startMesh([join(files, "mesh"), "--app", authorizer]);
  // The mesh is ready when its proxies are; the authorizer is an application, and starts beside it.
  await until(async () => (await status(ALICE)) === 200, 20_000);
});
after(async () => {
  await mesh.stop();
  removeState(mesh);
  rmSync(files, { recursive: true, force: true });
});

async function status(from: string, url = URL, options = {}): Promise<number> {
  return (await mesh.call(from, url, options)).answer.status;
}

async function denial(from: string): Promise<FlowRecord> {
  const { refusal } = (await mesh.call(from, URL)).account;
  assert.ok(refusal);
  return refusal;
}

/** Asks as the laptop's own software does, without waiting for the log. */
function ask(): Promise<number> {
  const pod = readAssignments(mesh.state).pods.find(({ workload }) => workload === ALICE);
  assert.ok(pod);
  const credential = Buffer.from(`bulwark:${pod.outboundSecret}`).toString("base64");
  const headers = { host: "payroll.finance", "proxy-authorization": `Basic ${credential}` };
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  get({ host: pod.address, port: OUTBOUND_PROXY_PORT, path: URL, headers, agent: false }, (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  }).on("error", reject);
  return promise;
}

/** Saves a changed context, and measures until access is as wanted. */
async function changeContext(change: (text: string) => string, wanted: number): Promise<number> {
  writeFileSync(contextFile, change(readFileSync(contextFile, "utf8")));
  const saved = performance.now();
  await until(async () => (await ask()) === wanted, 5000);
  return performance.now() - saved;
}

test("the authorizer's allow is not enough, and neither is the policy's: both have to agree", async () => {
  assert.equal(await status(ALICE), 200);
  assert.equal(await status(ALICE, "http://payroll.finance/salaries"), 403, "no ALLOW policy");
  assert.equal(await status("devices/laptop-bob"), 403, "too old a system");
  const { answer } = await mesh.call(ALICE, URL);
  assert.match(answer.body.toString("utf8"), /"x-device-owner": ?"alice"/i);
  const forged = { headers: [["x-device-owner", "admin"]] as const };
  const { body } = (await mesh.call(ALICE, URL, forged)).answer;
  assert.doesNotMatch(body.toString("utf8"), /"admin"/, "the authorizer's word takes the client's place");
});

test("a device that falls ill is refused within a second of the change, without a policy change; and let in again", async (context) => {
  const before = (await mesh.status()).configuration;
  const fallIll = () =>
    changeContext(
      (text) => text.replace("laptop-alice: {healthy: true", "laptop-alice: {healthy: false"),
      403,
    );
  const getWell = () => changeContext((text) => text.replace("healthy: false", "healthy: true"), 200);
  // The machine may be busy elsewhere for a moment: the quickest of three counts.
  const times = [];
  for (let round = 0; round < 3; round++) times.push({ ill: await fallIll(), well: await getWell() });
  const ill = Math.min(...times.map((time) => time.ill));
  const well = Math.min(...times.map((time) => time.well));
  context.diagnostic(
    `refused ${Math.round(ill)} ms after the change, let in again ${Math.round(well)} ms after the next`,
  );
  assert.ok(ill < 1000, `${ill} ms`);
  assert.ok(well < 1000, `${well} ms`);
  assert.deepEqual((await mesh.status()).configuration, before);
});

test("the record names provider, answer, time, policy and rule, and the reason reaches the caller", async () => {
  await changeContext((text) => text.replace("risk: 10", "risk: 90"), 403);
  const { answer } = await mesh.call(ALICE, URL);
  assert.equal(answer.body.toString("utf8"), "this device is too risky at present");
  const refusal = await denial(ALICE);
  assert.deepEqual(
    [refusal.reporter, refusal.layer, refusal.reason, refusal.policy, refusal.rule],
    ["finance/payroll", "ext-authz", "ext-authz-denied", "AuthorizationPolicy finance/healthy-devices", 0],
  );
  assert.deepEqual(
    [refusal.authorizer?.provider, refusal.authorizer?.answer, refusal.authorizer?.status],
    ["device-authorizer", "deny", 7],
  );
  assert.ok((refusal.authorizer?.durationMs ?? 0) > 0);
  await changeContext((text) => text.replace("risk: 90", "risk: 10"), 200);
});

test("nobody but the servers that ask may ask the authorizer", async () => {
  assert.equal(await status(ALICE, "http://device-authorizer.security:9191/check"), 403);
});

test("without its context the authorizer knows nothing, and nothing is let in", async () => {
  const text = readFileSync(contextFile, "utf8");
  rmSync(contextFile);
  await until(async () => (await status(ALICE)) === 403, 10_000);
  const refusal = await denial(ALICE);
  assert.deepEqual(
    [refusal.reason, refusal.authorizer?.answer, refusal.authorizer?.status],
    ["ext-authz-failed", "error", 14],
  );
  writeFileSync(contextFile, text);
  await until(async () => (await status(ALICE)) === 200, 10_000);
});
