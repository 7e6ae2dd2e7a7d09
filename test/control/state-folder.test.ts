import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { flowSource } from "../../src/control/flow-source.ts";
import { lockState } from "../../src/control/run-book.ts";
import { createStateFolder, stateFolderAt } from "../../src/control/state-folder.ts";
import { bulwark } from "../cli/run-bulwark.ts";

const folder = mkdtempSync(join(tmpdir(), "state-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a state folder is made with all those above it, for its user alone", () => {
  const { root, logFolder } = createStateFolder(join(folder, "a/b/c"));
  for (const path of [join(folder, "a"), root, logFolder]) assert.equal(statSync(path).mode & 0o777, 0o700);
  createStateFolder(root);
});

test("a state folder that cannot be made or used is an operational error that says why", () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  symlinkSync(join(folder, "absent"), join(folder, "dangling"));
  for (const path of [file, join(file, "below"), join(folder, "dangling"), join(folder, "dangling/below")])
    assert.throws(
      () => createStateFolder(path),
      { code: "BW_STATE_UNUSABLE", message: /cannot be used: / },
      path,
    );
});

test("up ends where the file system lets no folder be made, as in /proc", {
  skip: !existsSync("/proc/self"),
}, async () => {
  for (const path of ["/proc/x", "/proc/x/y"]) {
    const { code, stderr } = await bulwark(["up", "examples/payroll", "--state", path]);
    assert.equal(code, 1);
    assert.match(stderr, /^bulwark: the state folder `\/proc\/x(\/y)?` cannot be used: ENOENT[^\n]+\n$/);
  }
});

test("a lock that cannot be written is an operational error, not a bug", () => {
  const state = stateFolderAt(join(folder, "not-made"));
  assert.throws(() => lockState(state), {
    code: "BW_STATE_UNUSABLE",
    message: /not-made` cannot be used: ENOENT/,
  });
});

test("a flow log that cannot be opened is told with what to do", async () => {
  const state = createStateFolder(join(folder, "unreadable-log"));
  // A socket cannot be opened (SQLITE_CANTOPEN), as a log in a folder of others cannot; that would be no test for root.
  const server = createServer().listen(state.flowLog);
  await once(server.unref(), "listening");
  await assert.rejects(flowSource(state), {
    code: "BW_STATE_UNUSABLE",
    message: /copy the folder .* --state/,
  });
});
