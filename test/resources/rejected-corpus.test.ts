import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type LoadedResources, loadResources } from "../../src/resources/load.ts";

interface Expected {
  readonly rejected?: readonly { kind: string; namespace: string; name: string }[];
}

const key = (resource: { kind: string; namespace: string; name: string }): string =>
  `${resource.kind} ${resource.namespace}/${resource.name}`;

for (const corpus of ["corpus", "corpus-ambient", "corpus-outbound"]) {
  test(`the resources rejected are exactly those that Istio rejected: ${corpus}`, async (t) => {
    const folder = join("../shared", corpus);
    const cases = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    assert.ok(cases.length > 100, `${folder} holds only ${cases.length} cases`);
    let agreed = 0;
    for (const { name } of cases) {
      const expected = JSON.parse(readFileSync(join(folder, name, "expected.json"), "utf8")) as Expected;
      const loaded = await loadResources([join(folder, name, "mesh.yaml")]);
      assert.deepEqual(
        loaded.rejected.map(key).sort(),
        (expected.rejected ?? []).map(key).sort(),
        `${corpus}/${name}`,
      );
      assertExplained(loaded);
      agreed++;
    }
    t.diagnostic(`${corpus}: ${agreed}/${cases.length}`);
  });
}

/** Each rejection says what, where and in which resource; nothing else in a corpus is an error. */
function assertExplained(loaded: LoadedResources): void {
  for (const { errors } of loaded.rejected) {
    assert.ok(errors.length > 0);
    for (const { severity, message, span, resource } of errors) {
      assert.equal(severity, "error");
      assert.ok(message !== "" && resource !== undefined && span !== undefined && span.line > 1);
    }
  }
  assert.deepEqual(
    loaded.diagnostics.filter(({ severity }) => severity === "error"),
    [],
  );
}
