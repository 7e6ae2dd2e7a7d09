import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { compile, decideRecorded, inboundRunner, type RecordedRequest } from "../../tools/corpus/inbound.ts";
import { loadCase, type RejectedName } from "../../tools/corpus/load-case.ts";
import { agrees, casesOf } from "../../tools/corpus/runner.ts";

const corpus = resolve(import.meta.dirname, "../../../shared/corpus");
const cases = casesOf(corpus);

test("the corpus is there", () => {
  assert.ok(cases.length > 0, "the corpus is empty");
});

function named(list: readonly RejectedName[]): string[] {
  return list.map(({ kind, namespace = "", name }) => `${kind} ${namespace}/${name}`).sort();
}

for (const name of cases) {
  const folder = join(corpus, name);

  test(`case ${name} of real Istio and Envoy is ours: allowed, code, reason, policy, rule, path`, async () => {
    const decisions = await inboundRunner.runCase(folder);
    assert.deepEqual(
      decisions.filter((decision) => !agrees(decision)),
      [],
    );
  });

  test(`case ${name}: the loader rejects what Istio rejects, and no decision is wider under strict semantics`, async () => {
    const { mesh, rejected, expectedRejected } = await loadCase(folder);
    assert.deepEqual(named(rejected), named(expectedRejected));
    const { requests } = JSON.parse(readFileSync(join(folder, "requests.json"), "utf8")) as {
      requests: RecordedRequest[];
    };
    const wider: string[] = [];
    for (const request of requests) {
      const [istio, strict] = await Promise.all(
        (["istio", "strict"] as const).map((semantics) =>
          decideRecorded(compile(mesh, request.to.workload, semantics), request),
        ),
      );
      if (strict?.verdict.allowed === true && istio?.verdict.allowed === false) wider.push(request.id);
    }
    assert.deepEqual(wider, []);
  });
}
