import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { inboundRunner } from "../../tools/corpus/inbound.ts";
import { loadCase, type RejectedName } from "../../tools/corpus/load-case.ts";
import { agrees } from "../../tools/corpus/runner.ts";

const corpus = resolve(import.meta.dirname, "../../../shared/corpus");

test("every recorded decision of real Istio and Envoy is ours: allowed, code, reason, policy, rule, path", async (t) => {
  const cases = readdirSync(corpus, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.ok(cases.length > 0, "the corpus is empty");
  let agreeing = 0;
  const differing: unknown[] = [];
  for (const { name } of cases) {
    const decisions = await inboundRunner.runCase(join(corpus, name));
    const wrong = decisions.filter((decision) => !agrees(decision));
    if (wrong.length === 0) agreeing++;
    differing.push(...wrong);
  }
  t.diagnostic(`${agreeing}/${cases.length} agree`);
  assert.deepEqual(differing, []);
});

test("the loader rejects what Istio rejects in the corpus, and nothing else", async () => {
  const named = (list: readonly RejectedName[]): string[] =>
    list.map(({ kind, namespace = "", name }) => `${kind} ${namespace}/${name}`).sort();
  for (const { name } of readdirSync(corpus, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )) {
    const { rejected, expectedRejected } = await loadCase(join(corpus, name));
    assert.deepEqual(named(rejected), named(expectedRejected), name);
  }
});
