import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCall } from "../../src/cli/parse-call.ts";

const OPTIONS = { format: "text", timeout: 1000, replica: 0 };

test("a header value that HTTP cannot carry is a usage error that does not repeat it", () => {
  for (const value of ["a\r\nb: c", "a\nb", "a\u0000b", "naïve \u{1f600}"]) {
    assert.throws(() => parseCall("http://x/", { ...OPTIONS, header: [`x: ${value}`] }), {
      code: "BW_CLI_INPUT",
      message: /^the value of the header `x` has a line break[^\r\n]*$/,
    });
  }
  const { headers } = parseCall("http://x/", { ...OPTIONS, header: ["x:  a\tb é ", "y:"] });
  assert.deepEqual(headers, [
    ["x", "a\tb é"],
    ["y", ""],
  ]);
});

test("--sni takes names and nothing, no address", () => {
  for (const sni of ["93.184.216.34", "::1"])
    assert.throws(() => parseCall("https://x/", { ...OPTIONS, sni }), {
      code: "BW_CLI_INPUT",
      message: /address/,
    });
  for (const sni of ["", "www.ibm.com"])
    assert.equal(parseCall("https://x/", { ...OPTIONS, sni }).serverName, sni);
});
