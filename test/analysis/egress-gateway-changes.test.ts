/** What changes at the gateway of examples/egress: it routes by the name inside of the application's own TLS, and knows callers by the TLS around it. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { can, loadMesh } from "../../src/index.ts";
import type { Mesh } from "../../src/model/mesh.ts";

const EXAMPLE = "examples/egress";
const folder = mkdtempSync(join(tmpdir(), "egress-gateway-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const whole = readdirSync(EXAMPLE)
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => readFileSync(join(EXAMPLE, name), "utf8"))
  .join("\n---\n");

async function meshWith(name: string, old = "", now = ""): Promise<Mesh> {
  assert.ok(whole.includes(old));
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, whole.replace(old, now));
  return (await loadMesh(file)).mesh;
}

for (const semantics of ["istio", "strict"] as const)
  for (const [what, old, now] of [
    [
      "a rule loses its server names",
      "      when: [{key: connection.sni, values: [mongo1.composedb.com]}]",
      "",
    ],
    [
      "another account is let in",
      "principals: [cluster.local/ns/team-a/sa/app-a]",
      'principals: [cluster.local/ns/team-a/sa/app-a, "cluster.local/ns/team-b/sa/app-b"]',
    ],
  ] as const)
    test(`${what}: wider, out of the mesh, and the example flips; back again it is narrower (${semantics})`, async () => {
      const [before, then] = [await meshWith("before"), await meshWith("after", old, now)];
      const { proxies } = await diffMesh(before, then, { semantics });
      assert.ok(proxies.some(({ change, leaves }) => change === "widened" && leaves));
      for (const { witness } of proxies) {
        const [was] = await can(before, [witness], { semantics });
        const [is] = await can(then, [witness], { semantics });
        assert.deepEqual([was?.allowed, is?.allowed], [false, true]);
      }
      const back = await diffMesh(then, before, { semantics });
      assert.deepEqual([...new Set(back.proxies.map(({ change }) => change))], ["narrowed"]);
    });
