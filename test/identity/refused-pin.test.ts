/** A stand-in for `pkcs11-tool`: it refuses every PIN but one, as the real tool says it, and counts how often it was called. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Pkcs11Tool } from "../../src/identity/keys/pkcs11-tool.ts";
import { temporaryFolder } from "./mesh-fixture.ts";

const [RIGHT, WRONG] = ["2468", "1357"];

const SCRIPT = `#!/bin/sh
echo called >> "$HOME/calls"
[ -e "$HOME/unplugged" ] && { echo "error: PKCS11 function C_GetSlotInfo failed: rv = CKR_TOKEN_NOT_PRESENT (0xe0)" >&2; exit 1; }
[ "$BULWARK_PKCS11_PIN" = "${RIGHT}" ] && { echo ok; exit 0; }
echo "error: PKCS11 function C_Login failed: rv = CKR_PIN_INCORRECT (0xa0)" >&2
exit 1
`;

function setup(t: TestContext) {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, "bin"));
  const script = join(folder, "bin", "pkcs11-tool");
  writeFileSync(script, SCRIPT);
  chmodSync(script, 0o755);
  const { PATH, HOME } = process.env;
  Object.assign(process.env, { PATH: `${join(folder, "bin")}:${PATH}`, HOME: folder });
  t.after(() => Object.assign(process.env, { PATH, HOME }));
  const file = join(folder, "pin-refused");
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });
  return {
    file,
    write,
    calls: () =>
      existsSync(join(folder, "calls")) ? readFileSync(join(folder, "calls"), "utf8").length / 7 : 0,
    /** As a process that is started anew makes it. */
    tool: () =>
      new Pkcs11Tool({ token: "t", modulePath: "/m.so", pinSource: `file:${join(folder, "pin")}` }, file),
  };
}

test("a wrong PIN is shown to the token once, by however many calls, in however many processes", async (t) => {
  const { tool, write, calls, file } = setup(t);
  write("pin", `${WRONG}\n`);
  for (let process = 0; process < 3; process++) {
    const one = tool();
    for (const result of await Promise.allSettled([one.run(["a"]), one.run(["b"]), one.run(["c"])])) {
      assert.equal(result.status === "rejected" && result.reason.code, "BW_PKCS11_PIN");
      assert.ok(result.status === "rejected" && !String(result.reason.message).includes(WRONG));
    }
  }
  assert.equal(calls(), 1);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(!readFileSync(file, "utf8").includes(WRONG));
});

test("another PIN is tried, and what was refused before is forgotten when the token takes it", async (t) => {
  const { tool, write, calls, file } = setup(t);
  write("pin", WRONG);
  const one = tool();
  await assert.rejects(one.run([]), { code: "BW_PKCS11_PIN" });
  write("pin", RIGHT);
  assert.equal(String(await one.run([])), "ok\n", "without a restart");
  assert.equal(existsSync(file), false);
  write("pin", WRONG);
  await assert.rejects(one.run([]), { code: "BW_PKCS11_PIN" }, "the token's PIN was changed meanwhile");
  await assert.rejects(tool().run([]), { code: "BW_PKCS11_PIN", message: /remove .*pin-refused/ });
  assert.equal(calls(), 3);
});

test("a token that is not there is asked again: that says nothing of the PIN", async (t) => {
  const { tool, write, calls } = setup(t);
  write("pin", RIGHT);
  write("unplugged", "");
  for (let i = 0; i < 2; i++) await assert.rejects(tool().run([]), { code: "BW_PKCS11_TOOL" });
  assert.equal(calls(), 2);
});

test("a note that cannot be read holds back every PIN", async (t) => {
  const { tool, write, calls } = setup(t);
  write("pin", RIGHT);
  write("pin-refused", "torn");
  await assert.rejects(tool().run([]), { code: "BW_PKCS11_PIN" });
  assert.equal(calls(), 0);
});
