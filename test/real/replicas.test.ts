/** Two control planes on one PostgreSQL: a rotation of the root by one never splits the mesh. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Manifest } from "../../src/identity/ca-manifest.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { LiveMesh, until } from "./live-mesh.ts";
import { PostgresServer } from "./postgres-server.ts";

const SOURCES = ["../shared/scenarios/payroll"];
const PATIENCE_MS = 90_000;

function copyCa(from: LiveMesh, to: LiveMesh): void {
  rmSync(to.state.caFolder, { recursive: true, force: true });
  mkdirSync(to.state.root, { recursive: true, mode: 0o700 });
  cpSync(from.state.caFolder, to.state.caFolder, { recursive: true });
}

function manifest({ state }: LiveMesh): Manifest {
  return JSON.parse(readFileSync(join(state.caFolder, "ca.json"), "utf8")) as Manifest;
}

async function replicas(t: TestContext) {
  const server = await PostgresServer.start();
  const args = [...SOURCES, "--store", server.address("schema=replicas")];
  const one = new LiveMesh(args);
  const two = new LiveMesh(args);
  t.after(async () => {
    await two.dispose();
    await one.dispose();
    await server.dispose();
  });
  await one.start();
  return { one, two, up: () => bulwark(["up", ...args, "--state", two.state.root, "--quiet"]) };
}

test("a replica with a CA of its own is not let in; with a copy it is, its certificates raise no alarm, and nobody can replace the root beside it", async (t) => {
  const { one, two, up } = await replicas(t);
  const stranger = await up();
  assert.equal(stranger.code, 1);
  assert.match(stranger.stderr, /other roots than those in force/);
  copyCa(one, two);
  await two.start();
  for (const mesh of [one, two]) {
    const { code, stderr } = await mesh.run("ca", "rotate-root", "--force");
    assert.equal(code, 1);
    assert.match(stderr, /share this CA's records: .*state \(last heard of/);
    assert.equal(manifest(mesh).rotation, undefined);
  }
  assert.equal((await two.run("ca", "rotate-intermediate")).code, 0);
  assert.notEqual(manifest(one).intermediate, manifest(two).intermediate);
  const answer = await two.call("finance/account-auditor", "http://payroll.finance/accounts/7");
  assert.equal(answer.answer.status, 200);
  const { stdout } = await one.run("ca", "status", "--format", "json");
  const kinds = (JSON.parse(stdout) as { alerts: { kind: string }[] }).alerts.map(({ kind }) => kind);
  assert.ok(!kinds.includes("unexpected-issuer"), stdout);
});

test("once the other replica is gone the root is replaced; the other cannot come back with the old one, and does with a copy", async (t) => {
  const { one, two, up } = await replicas(t);
  copyCa(one, two);
  await two.start();
  const before = manifest(one).signingRoot;
  two.killEverything();
  await two.ended();
  const silent = async () => {
    const { code, stderr } = await one.run("ca", "rotate-root");
    assert.equal(code, 1);
    return stderr.includes("--force");
  };
  await until(silent, "the killed replica counts as silent", PATIENCE_MS);
  const forced = await one.run("ca", "rotate-root", "--force");
  assert.equal(forced.code, 0, forced.stderr);
  assert.notEqual(manifest(one).signingRoot, before);
  const late = await up();
  assert.equal(late.code, 1);
  assert.match(late.stderr, /other roots than those in force|is replacing the root/);
  await until(async () => (await up()).stderr.includes("other roots"), "the end is told", PATIENCE_MS);
  copyCa(one, two);
  await two.start();
  assert.deepEqual(manifest(two).roots, manifest(one).roots);
  const answer = await two.call("finance/account-auditor", "http://payroll.finance/accounts/7");
  assert.equal(answer.answer.status, 200);
});
