import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { can, type Decision, loadMesh, parseRequests } from "../../../src/index.ts";
import { casesOf } from "../../../tools/corpus/runner.ts";

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

/** Every case of a corpus must be as `bulwark can` answers it. */
function testCases(law: string, corpus: string, fields: readonly string[], clientOnly: boolean): void {
  const folder = join("../shared", corpus);
  const cases = casesOf(folder);
  test(`${corpus} is there`, () => {
    assert.ok(cases.length > 0, `${folder} is empty`);
  });
  for (const name of cases)
    test(`${law}: case ${name}`, () => assertAgrees(join(folder, name), fields, clientOnly));
}

async function assertAgrees(folder: string, fields: readonly string[], clientOnly: boolean): Promise<void> {
  const read = (file: string): string => readFileSync(join(folder, file), "utf8");
  const { mesh } = await loadMesh(join(folder, "mesh.yaml"));
  const parsed = parseRequests(read("requests.json"), "requests.json", mesh);
  assert.ok(parsed.ok);
  const { decisions: expected } = JSON.parse(read("expected.json")) as { decisions: readonly Fields[] };
  const decisions = await can(mesh, parsed.value, { clientOnly });
  assert.equal(decisions.length, expected.length);
  for (const [index, decision] of decisions.entries()) {
    const ours = told(decision as unknown as Fields, fields);
    const theirs = told(expected[index] ?? {}, fields);
    assert.equal(JSON.stringify(ours), JSON.stringify(theirs));
    assertExplained(decision);
  }
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

testCases("can decides the server's side as recorded: allowed, code, reason", "corpus", [], false);
testCases(
  "can decides the client's side as recorded: cluster, TLS, SNI, SANs, endpoints too",
  "corpus-outbound",
  OUTBOUND_FIELDS,
  true,
);
testCases("can decides ambient mode as recorded", "corpus-ambient", [], false);
