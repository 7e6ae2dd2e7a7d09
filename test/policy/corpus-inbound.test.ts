import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { compile, decideRecorded, inboundRunner, type RecordedRequest } from "../../tools/corpus/inbound.ts";
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

test("no recorded decision is wider under strict semantics than under Istio's", async () => {
  const wider: string[] = [];
  for (const { name } of readdirSync(corpus, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )) {
    const { mesh } = await loadCase(join(corpus, name));
    const { requests } = JSON.parse(readFileSync(join(corpus, name, "requests.json"), "utf8")) as {
      requests: RecordedRequest[];
    };
    for (const request of requests) {
      const [istio, strict] = await Promise.all(
        (["istio", "strict"] as const).map((semantics) =>
          decideRecorded(compile(mesh, request.to.workload, semantics), request),
        ),
      );
      if (strict?.verdict.allowed === true && istio?.verdict.allowed === false) wider.push(request.id);
    }
  }
  assert.deepEqual(wider, []);
});
