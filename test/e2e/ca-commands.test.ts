/** Every subcommand of `bulwark ca` on a mesh that runs: what it ends with, its JSON, and the examples of its help. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { EXIT } from "../../src/cli/exit-code.ts";
import type { CaReport } from "../../src/control/revocation/messages.ts";
import { BULWARK, bulwark, type Finished } from "../cli/run-bulwark.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const workload = (namespace: string, name: string) => `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}, sidecar.istio.io/inject: "true"}}
    spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
`;

const folder = mkdtempSync(join(tmpdir(), "e2e-ca-commands-"));
let mesh: TestMesh;
before(async () => {
  const file = join(folder, "mesh.yaml");
  // The names in the examples.
  writeFileSync(file, workload("team-a", "app-a") + workload("finance", "payroll"));
  mesh = await startMesh([file], join(folder, "state"));
});
after(async () => {
  await mesh?.stop();
  if (mesh !== undefined) removeState(mesh);
  rmSync(folder, { recursive: true, force: true });
});

function ca(...args: readonly string[]): Promise<Finished> {
  return bulwark(["ca", ...args, "--state", mesh.state.root]);
}

/** @returns what it printed. */
async function json(...args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await ca(...args, "--format", "json");
  assert.equal(code, EXIT.ok, `${args.join(" ")}: ${stderr}`);
  return JSON.parse(stdout);
}

async function serialOf(workloadName: string): Promise<string> {
  const { certificates } = (await json("status")) as CaReport;
  const found = certificates.find(
    ({ identity, status, usedBy }) =>
      identity.endsWith(`/sa/${workloadName}`) && status === "valid" && usedBy !== null,
  );
  return found?.serial ?? assert.fail(`no certificate of ${workloadName}`);
}

test("what is named and not there ends each subcommand with 3, and nothing is changed", async () => {
  const before = await json("status");
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["revoke", "5b20c1"], /5b20c1|serial/i],
    [["revoke", "no-serial"], /no serial number/],
    [["revoke", "spiffe://cluster.local"], /no SPIFFE ID of a workload/],
    [["revoke", "--workload", "no/such"], /no workload/],
    [["restore", "--workload", "no/such"], /no workload/],
    [["restore", "5b20c1"], /stays revoked/],
    [["restore", "spiffe://cluster.local/ns/no/sa/such"], /no pod/],
    [["unblock", "--workload", "no/such"], /no workload/],
    [["crl", "--issuer", "00"], /no key with that identifier/],
    [["crl", "--out", join(folder, "no", "such", "file")], /cannot be written/],
  ];
  for (const [args, said] of cases) {
    const { code, stdout, stderr } = await ca(...args);
    assert.deepEqual([code, stdout], [EXIT.invalid, ""], `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, /^bulwark: [^\n]+\n$/, args.join(" "));
    assert.match(stderr, said, args.join(" "));
  }
  const full = await ca("crl", "--out", "/dev/full");
  assert.equal(full.code, EXIT.failed, `a full disk is nobody's argument: ${full.stderr}`);
  assert.deepEqual(
    ((await json("status")) as CaReport).certificates.map(({ serial, status }) => [serial, status]),
    (before as CaReport).certificates.map(({ serial, status }) => [serial, status]),
  );
});

test("a rotation that is not done in time ends with 2, and is shown by the same command to its end, with 0", async () => {
  const early = await ca("rotate-intermediate", "--timeout", "1ms");
  assert.equal(early.code, EXIT.denied, early.stderr);
  assert.match(early.stderr, /the rotation goes on in the mesh/);
  const late = await ca("rotate-intermediate", "--format", "json", "--timeout", "5m");
  assert.equal(late.code, EXIT.ok, late.stderr);
  const events = late.stdout
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { event: string }).event);
  assert.equal(events.at(-1), "done");
});

/** Not run: it needs an EST server; a mesh of its own. */
const NOT_RUN = /ca enroll|bulwark up/;

/** The examples in the help of `ca` and of each of its subcommands, in that order. */
async function examples(): Promise<readonly string[]> {
  const names = ["status", "crl", "revoke", "restore", "unblock", "rotate-root"];
  const helps = await Promise.all(
    [["ca"], ...names.map((name) => ["ca", name])].map((words) => bulwark([...words, "--help"])),
  );
  return helps
    .flatMap(({ stdout }) => [...stdout.matchAll(/^ {2}\$ (.+)$/gm)].map(([, line = ""]) => line))
    .filter((line) => !NOT_RUN.test(line));
}

function inShell(line: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn("/bin/sh", ["-c", line], {
    cwd: folder,
    env: {
      ...process.env,
      PATH: `${dirname(BULWARK)}:${process.env.PATH ?? ""}`,
      BULWARK_STATE: mesh.state.root,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      said += String(chunk);
    });
  return new Promise((settle) => child.on("close", (code) => settle({ code, said })));
}

test("every example in the help of `ca` does on a mesh what it says", async (t) => {
  const serial = await serialOf("payroll");
  const lines = await examples();
  assert.ok(lines.length >= 14, lines.join("\n"));
  for (const line of lines) {
    const missing = ["jq", "openssl"].find(
      (tool) => line.includes(`| ${tool}`) && spawnSync(tool, ["--version"]).error !== undefined,
    );
    if (missing !== undefined) {
      t.diagnostic(`not run, ${missing} is not on this machine: ${line}`);
      continue;
    }
    const { code, said } = await inShell(line.replace("5b20c1…", serial));
    // A pipe ends as its last command does.
    assert.equal(
      code,
      line.includes("--check") && !line.includes("|") ? EXIT.denied : EXIT.ok,
      `${line}\n${said}`,
    );
  }
});

test("every subcommand prints JSON where it is asked to", async () => {
  const crl = (await json("crl")) as { readonly crl: string; readonly number: number };
  assert.equal(Buffer.from(crl.crl, "base64")[0], 0x30);
  assert.ok(crl.number > 0);
  const revoked = (await json("revoke", "--workload", "team-a/app-a")) as { readonly cutOff: string };
  assert.equal(revoked.cutOff, "spiffe://cluster.local/ns/team-a/sa/app-a");
  const restored = (await json("restore", "--workload", "team-a/app-a")) as {
    readonly pods: readonly string[];
  };
  assert.deepEqual(restored.pods, ["team-a/app-a-0"]);
  await json("revoke", "--workload", "team-a/app-a", "--block");
  const unblocked = (await json("unblock", "--workload", "team-a/app-a")) as { readonly identity: string };
  assert.equal(unblocked.identity, revoked.cutOff);
});
