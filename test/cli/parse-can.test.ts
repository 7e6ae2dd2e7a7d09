import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCan, parseMeshWords } from "../../src/cli/parse-can.ts";

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

test("-H Host takes the place of the URL's host, but not of --host", () => {
  const asked = (options: {
    readonly header?: readonly string[];
    readonly host?: string;
  }): string | undefined =>
    parseCan(["a/c", "http://s.a/"], { format: "text", semantics: "istio", ...options }).host;
  assert.equal(asked({}), "s.a");
  assert.equal(asked({ header: ["X: y", "hOst: evil.com"] }), "evil.com");
  assert.equal(asked({ header: ["Host: evil.com"], host: "b" }), "b");
});
