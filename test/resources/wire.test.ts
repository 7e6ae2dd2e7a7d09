import assert from "node:assert/strict";
import { test } from "node:test";
import { loadResources } from "../../src/resources/load.ts";
import { fromWire, resourceFromJson, toWire } from "../../src/resources/wire.ts";

test("resources that went through JSON are equal, but for the way back to their text", async () => {
  const { resources } = await loadResources(["../shared/scenarios/egress"]);
  assert.ok(resources.length > 10);
  const again = fromWire(JSON.parse(JSON.stringify(toWire(resources))));
  const plain = (resource: (typeof resources)[number]): object => ({ ...resource, locate: undefined });
  assert.deepEqual(again.map(plain), JSON.parse(JSON.stringify(resources.map(plain))).map(plain));
  assert.deepEqual(
    again.map(({ file }) => file),
    resources.map((resource) => resource.locate([]).file),
  );
});

test("resourceFromJson() places everything at the beginning of the file that is named", () => {
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: {} };
  const resource = resourceFromJson(body, { file: "mesh.yaml", createdAt: 7 });
  assert.equal(resource.namespace, "default");
  assert.equal(resource.createdAt, 7);
  assert.deepEqual(resource.locate(["data"]), {
    file: "mesh.yaml",
    line: 1,
    column: 1,
    endLine: 1,
    endColumn: 1,
  });
});
