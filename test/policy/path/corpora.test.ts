import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { can, type Decision, loadMesh, parseRequests } from "../../../src/index.ts";

type Fields = Readonly<Record<string, unknown>>;

const OUTBOUND_FIELDS = [
  "cluster",
  "clusters",
  "tls",
  "sni",
  "sans",
  "endpoints",
  "location",
  "upstreamPath",
] as const;

/** Every case of a corpus as `bulwark can` answers it, with what was recorded beside. */
async function differences(
  corpus: string,
  fields: readonly string[],
  clientOnly: boolean,
): Promise<unknown[]> {
  const folder = join("../shared", corpus);
  const cases = readdirSync(folder).filter((name) => /^\d+$/.test(name));
  assert.ok(cases.length > 0, `${folder} is empty`);
  const differing: unknown[] = [];
  for (const name of cases) {
    const read = (file: string): string => readFileSync(join(folder, name, file), "utf8");
    const { mesh } = await loadMesh(join(folder, name, "mesh.yaml"));
    const parsed = parseRequests(read("requests.json"), "requests.json", mesh);
    assert.ok(parsed.ok, name);
    const { decisions: expected } = JSON.parse(read("expected.json")) as { decisions: readonly Fields[] };
    const decisions = await can(mesh, parsed.value, { clientOnly });
    assert.equal(decisions.length, expected.length);
    for (const [index, decision] of decisions.entries()) {
      const [ours, theirs] = [decision as unknown as Fields, expected[index] ?? {}].map((own) =>
        told(own, fields),
      );
      if (JSON.stringify(ours) !== JSON.stringify(theirs)) differing.push({ case: name, ours, theirs });
      assertExplained(decision);
    }
  }
  return differing;
}

function assertExplained({ explanation, hops }: Decision): void {
  assert.ok(explanation.length > 0 && hops.length > 0);
}

function told(decision: Fields, fields: readonly string[]): Fields {
  return Object.fromEntries(
    ["id", "allowed", "code", "reason", ...fields].map((name) => [name, plain(decision[name])]),
  );
}

/** Lists whose order says nothing, in one order; of weighted clusters what is compared strictly. */
function plain(value: unknown): unknown {
  if (!Array.isArray(value)) return value ?? null;
  return value
    .map((entry) =>
      typeof entry === "object" ? told(entry as Fields, ["cluster", "weight", "tls", "sni", "sans"]) : entry,
    )
    .sort();
}

test("can decides the server's side as recorded: allowed, code, reason", async () => {
  assert.deepEqual(await differences("corpus", [], false), []);
});
test("can decides the client's side as recorded: cluster, TLS, SNI, SANs, endpoints too", async () => {
  assert.deepEqual(await differences("corpus-outbound", OUTBOUND_FIELDS, true), []);
});
test("can decides ambient mode as recorded", async () => {
  assert.deepEqual(await differences("corpus-ambient", [], false), []);
});
