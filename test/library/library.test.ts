import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as library from "bulwark";

test("the package's entry exports what docs/library.md names", () => {
  assert.deepEqual(Object.keys(library).sort(), [
    "can",
    "canAll",
    "connections",
    "loadMesh",
    "parseRequests",
  ]);
});

test("the example of docs/library.md prints what it says", () => {
  const text = readFileSync("docs/library.md", "utf8");
  const example = /```ts\n([\s\S]*?)```/.exec(text)?.[1];
  const printed = /prints\n\n```\n([\s\S]*?)```/.exec(text)?.[1];
  assert.ok(example !== undefined && printed !== undefined);
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "--eval", example];
  assert.equal(execFileSync(process.execPath, args, { encoding: "utf8" }), printed);
});

test("loadMesh() refuses what cannot be read, with every problem and its place", async () => {
  await assert.rejects(library.loadMesh("test/library/nothing-here"), (error: Error & { code?: string }) => {
    assert.equal(error.code, "BW_MESH_INVALID");
    assert.match(error.message, /nothing-here/);
    return true;
  });
});
