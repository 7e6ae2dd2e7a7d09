import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMeshWords } from "../../src/cli/parse-can.ts";

test("besides --requests only paths of the mesh may stand: any other word is named, not taken for a path", () => {
  assert.deepEqual(parseMeshWords([]), []);
  assert.deepEqual(parseMeshWords(["examples/payroll", "package.json"]), [
    "examples/payroll",
    "package.json",
  ]);
  for (const word of ["finance/intranet", "GET", "http://payroll.finance/"])
    assert.throws(() => parseMeshWords(["package.json", word]), {
      code: "BW_CLI_INPUT",
      message: `\`${word}\` does not go with --requests, and is no file or folder of the mesh: who asks for what stands in the requests file`,
    });
});
