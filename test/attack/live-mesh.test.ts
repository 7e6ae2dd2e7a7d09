import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import type { Attack, AttackResult } from "../../src/attack/attack.ts";
import { ATTACKS } from "../../src/attack/attack-registry.ts";
import type { MeshUnderAttack } from "../../src/attack/mesh-under-attack.ts";
import { withOwnMesh } from "../../src/attack/own-mesh.ts";
import { runAttacks } from "../../src/attack/run-attacks.ts";
import { loadConfiguration } from "../../src/control/load-configuration.ts";
import type { Mesh } from "../../src/model/mesh.ts";

const EXAMPLE = "examples/egress";
const program = { command: process.execPath, args: [resolve("src/cli/main.ts")] };
const folder = mkdtempSync(join(tmpdir(), "attack-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What the example's second application protects besides. */
const PROTECTED_PATH = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: public-only, namespace: team-b}
spec:
  selector: {matchLabels: {app: app-b}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/team-a/sa/app-a]}}]
      to: [{operation: {methods: [GET], paths: ["/public/*"]}}]
`;

async function attackFiles(
  files: string,
  attack: (mesh: MeshUnderAttack) => Promise<readonly AttackResult[]>,
): Promise<readonly AttackResult[]> {
  const troubles: string[] = [];
  const outcome = await withOwnMesh(
    {
      sources: [files],
      program,
      certTtlSeconds: 0,
      signal: new AbortController().signal,
      onTrouble: (message) => troubles.push(message),
    },
    attack,
  );
  if ("ok" in outcome) assert.fail(outcome.errors.map(({ message }) => message).join("; "));
  return outcome;
}

/** The example in a folder of its own, changed. */
function exampleIn(name: string, change: (file: string, text: string) => string): string {
  const files = mkdtempSync(join(folder, `${name}-`));
  for (const file of readdirSync(EXAMPLE))
    writeFileSync(join(files, file), change(file, readFileSync(join(EXAMPLE, file), "utf8")));
  return files;
}

/** The same running mesh, with the promises of other files. */
function promising(mesh: MeshUnderAttack, promised: Mesh): MeshUnderAttack {
  const { assignments, notCaptured, standInCaPem, impostorStage, wire, signal, logWaitMs } = mesh;
  return {
    mesh: promised,
    assignments,
    notCaptured,
    standInCaPem,
    impostorStage,
    wire,
    signal,
    logWaitMs,
    identityOf: (pod) => mesh.identityOf(pod),
    freshIdentityOf: (pod) => mesh.freshIdentityOf(pod),
    revokeCertificate: (serial) => mesh.revokeCertificate(serial),
    tokenOf: (pod) => mesh.tokenOf(pod),
    mintToken: (request, options) => mesh.mintToken(request, options),
    caSigner: () => mesh.caSigner(),
    dialControl: () => mesh.dialControl(),
    records: (filter) => mesh.records(filter),
  };
}

function some(id: string, tried: RegExp): readonly Attack[] {
  return ATTACKS.filter((attack) => attack.id === id).map((attack) => ({
    ...attack,
    plan: async (mesh) => (await attack.plan(mesh)).filter((step) => tried.test(step.tried)),
  }));
}

function told(results: readonly AttackResult[]): readonly string[] {
  return results.map(({ attack, outcome, tried, happened }) => `${attack} ${outcome}: ${tried}: ${happened}`);
}

test("a healthy mesh stops each attack on a way where the legitimate variant passes, and logs it", async () => {
  const files = exampleIn("healthy", (_file, text) => text);
  writeFileSync(join(files, "60-public.yaml"), PROTECTED_PATH);
  const families = /^(the path itself|dots|encoded slashes|absolute form|fragments)/;
  const attacks = [
    ...["e1", "e2", "e3", "e4", "e6", "m2", "m3", "m4", "m10"].flatMap((id) => some(id, /./)),
    ...some("m1", /^(plaintext|TLS 1\.3|an SSLv2)/),
    ...some("m6", families),
    ...some("m7", /^(CL\.TE|TE\.CL|two lengths|a request in the trailers|H2\.CL.*)$/),
  ];
  const results = await attackFiles(files, async (mesh) => (await runAttacks(mesh, { attacks })).results);
  const succeeded = results.filter(({ outcome }) => outcome === "succeeded");
  assert.deepEqual(told(succeeded), []);
  for (const { id } of attacks.filter((attack) => attack.id !== "e1")) {
    const stopped = results.filter((result) => result.attack === id && result.outcome === "stopped");
    assert.ok(stopped.length > 0, `${id}: ${told(results.filter(({ attack }) => attack === id)).join("; ")}`);
    for (const { control } of stopped) assert.match(control, /^passes/);
  }
  const unlogged = results.filter(({ logged, outcome }) => outcome === "stopped" && logged === false);
  assert.deepEqual(
    told(unlogged).filter((line) => !line.includes("no token at all")),
    [],
  );
  const direct = results.filter(({ attack }) => attack === "e1");
  assert.ok(direct.some(({ happened }) => happened.includes("IT WAS REACHED")));
  assert.ok(
    direct.every(({ outcome }) => outcome === "not possible here"),
    told(direct).join("\n"),
  );
});

test("a revocation that reaches no proxy is a breach: the certificate passes again, and so does its session", async () => {
  const files = exampleIn("deaf", (_file, text) => text);
  const attacks = some("e4", /revoked since/);
  const results = await attackFiles(files, async (mesh) => {
    const without: MeshUnderAttack = { ...promising(mesh, mesh.mesh), revokeCertificate: async () => {} };
    const deaf = await runAttacks(without, { attacks });
    return [...deaf.results, ...(await runAttacks(mesh, { attacks })).results];
  });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["succeeded", "succeeded", "stopped", "stopped"],
  );
  for (const { stoppedBy, evidence, logged } of results.slice(2)) {
    assert.equal(logged, true);
    assert.match(stoppedBy ?? "", /certificate-revoked/);
    assert.ok(evidence.flowRecord !== undefined && evidence.certificateSerial !== undefined);
  }
});

test("a mesh that is looser than promised is broken by E1, E2, E3, M1 and M3", async () => {
  const strict = await loadConfiguration([exampleIn("strict", (_file, text) => text)]);
  assert.ok(strict.ok);
  const files = exampleIn("loose", (file, text) =>
    file.startsWith("50-")
      ? text.replace(/^apiVersion: security[\s\S]*?^---$/gm, "")
      : text.replace("mode: STRICT", "mode: PERMISSIVE"),
  );
  const results = await attackFiles(files, async (mesh) => {
    const withStage = promising(mesh, strict.mesh);
    const stage = mesh.impostorStage;
    const other = mesh.assignments.pods.find(({ workload }) => workload === "team-b/app-b");
    assert.ok(stage !== undefined && other !== undefined);
    const lied: MeshUnderAttack = { ...withStage, impostorStage: { ...stage, owner: other.workload } };
    const run = async (target: MeshUnderAttack, attacks: readonly Attack[]) =>
      (await runAttacks(target, { attacks })).results;
    return [
      ...(await run({ ...withStage, notCaptured: undefined }, some("e1", /to the host$|application's own/))),
      ...(await run(withStage, some("e2", /./))),
      ...(await run({ ...withStage, records: async () => [], logWaitMs: 0 }, some("e3", /./))),
      ...(await run(withStage, some("m1", /^plaintext HTTP\/1\.1/))),
      ...(await run(lied, some("m3", /another account/))),
    ];
  });
  const missed = results.filter(({ outcome, tried }) => outcome !== "succeeded" && !tried.startsWith("UDP"));
  assert.deepEqual(told(missed), []);
  for (const id of ["e1", "e2", "e3", "m1", "m3"])
    assert.ok(
      results.some(({ attack }) => attack === id),
      `${id} was not tried`,
    );
});

test("a mesh that says itself that it is open is allowed by configuration, with a finding and a fix", async () => {
  const files = exampleIn("open", (file, text) =>
    file.startsWith("50-")
      ? text.replace(/^apiVersion: security[\s\S]*?^---$/gm, "")
      : text.replace("mode: STRICT", "mode: PERMISSIVE"),
  );
  const attacks = [...some("e2", /./), ...some("m1", /^plaintext HTTP\/1\.1/)];
  const results = await attackFiles(files, async (mesh) => (await runAttacks(mesh, { attacks })).results);
  assert.ok(results.some(({ attack }) => attack === "e2") && results.some(({ attack }) => attack === "m1"));
  for (const result of results) {
    assert.equal(result.outcome, "allowed by configuration", told([result]).join());
    assert.ok(result.finding !== undefined && result.fix !== undefined);
  }
});
