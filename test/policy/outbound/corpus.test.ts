import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { outboundRunner } from "../../../tools/corpus/outbound.ts";
import { agrees, casesOf } from "../../../tools/corpus/runner.ts";

const CORPUS = "../shared/corpus-outbound";
const cases = casesOf(CORPUS);

test("the corpus is there", () => {
  assert.ok(cases.length > 0, `${CORPUS} holds no case`);
});

for (const name of cases)
  test(`case ${name} of a real client's sidecar: compileOutbound() agrees in every recorded field`, async () => {
    const decisions = await outboundRunner.runCase(join(CORPUS, name));
    assert.deepEqual(
      decisions.filter((decision) => !agrees(decision)),
      [],
    );
  });
