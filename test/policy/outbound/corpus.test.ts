import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { outboundRunner } from "../../../tools/corpus/outbound.ts";
import { agrees, type CorpusDecision } from "../../../tools/corpus/runner.ts";

const CORPUS = "../shared/corpus-outbound";

test("compileOutbound() agrees with every decision recorded of a real client's sidecar, in every recorded field", async (t) => {
  const cases = readdirSync(CORPUS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.ok(cases.length > 0, `${CORPUS} holds no case`);
  const wrong: string[] = [];
  let decisions = 0;
  for (const { name } of cases) {
    for (const decision of await outboundRunner.runCase(join(CORPUS, name))) {
      decisions++;
      if (!agrees(decision)) wrong.push(describe(name, decision));
    }
  }
  t.diagnostic(`${decisions - wrong.length}/${decisions} agree`);
  assert.deepEqual(wrong, []);
});

function describe(name: string, { id, expected, actual }: CorpusDecision): string {
  return `${name} ${id}: recorded ${JSON.stringify(expected)}, decided ${JSON.stringify(actual)}`;
}
