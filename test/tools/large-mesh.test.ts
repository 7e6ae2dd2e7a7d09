import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeLargeMesh } from "../../bench/decision/large-mesh.ts";
import { can, loadMesh } from "../../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "large-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const SIZE = { namespaces: 3, workloads: 10 };

function texts(from: string): readonly string[] {
  return readdirSync(from).map((file) => readFileSync(join(from, file), "utf8"));
}

test("the benchmark's mesh is always the same, valid, and lets in whom its policies name", async () => {
  const [one, two] = [join(folder, "1"), join(folder, "2")];
  const { bytes, workloads } = writeLargeMesh(one, SIZE);
  writeLargeMesh(two, SIZE);
  assert.deepEqual(texts(one), texts(two));
  assert.equal(texts(one).join("").length, bytes);
  const { mesh, rejected } = await loadMesh(one);
  assert.deepEqual([rejected, mesh.workloads.length, workloads.length], [[], 30, 30]);
  const answers = await can(
    mesh,
    ["team-001/service-004", "team-001/service-005", "team-002/service-003"].map((workload) => ({
      from: { workload },
      to: { host: "service-003.team-001.svc.cluster.local", port: 80 },
      path: "/api/x",
    })),
  );
  assert.deepEqual(
    answers.map(({ allowed }) => allowed),
    [true, false, true],
  );
});
