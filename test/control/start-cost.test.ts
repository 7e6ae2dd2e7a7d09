import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { test } from "node:test";

/** Names of what Node itself loaded for a module of ours; not documented, but as old as Node. */
function builtinsOf(module: string): readonly string[] {
  const path = resolve("src", module);
  const script = `await import(${JSON.stringify(path)}); console.log(JSON.stringify(process.moduleLoadList)); process.exit(0);`;
  return JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }),
  );
}

for (const part of ["control/proxy-process.ts", "control/control-process.ts", "control/echo-process.ts"]) {
  test(`${part} does not load undici: 20 MB in each process of a mesh`, () => {
    const builtins = builtinsOf(part);
    assert.ok(
      builtins.some((name) => name.endsWith(" net")),
      "the list says what is loaded",
    );
    assert.deepEqual(
      builtins.filter((name) => name.includes("undici")),
      [],
      "something imports node:http: take `http` of src/resources/node-http.ts",
    );
  });
}
