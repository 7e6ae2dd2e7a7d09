import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDiagnostic } from "../../src/resources/diagnostic.ts";
import { loadResources } from "../../src/resources/load.ts";
import { problemsOf } from "./load-fixture.ts";

test("what Istio takes is taken, without an error or a warning", async () => {
  const loaded = await loadResources(["test/resources/valid-manifests.yaml"]);
  assert.deepEqual(problemsOf(loaded).map(formatDiagnostic), []);
  assert.equal(loaded.resources.length, 17);
});

test("the scenarios and the real applications are taken without an error", async () => {
  for (const folder of [
    "../shared/scenarios/egress",
    "../shared/scenarios/payroll",
    "../shared/real/bookinfo",
  ]) {
    const loaded = await loadResources([folder]);
    assert.ok(loaded.resources.length > 0, folder);
    assert.deepEqual(
      problemsOf(loaded).filter(({ severity }) => severity === "error"),
      [],
    );
  }
});
