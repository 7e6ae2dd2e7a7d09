import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { test } from "node:test";

for (const command of [
  ["diff", "examples/diff/before", "examples/diff/after"],
  ["verify", "examples/verify"],
])
  test(`${command[0]}: an output that cannot be written is an error of one line, and no success`, {
    skip: existsSync("/dev/full") ? false : "no /dev/full here",
  }, () => {
    const full = openSync("/dev/full", "w");
    const { status, stderr } = spawnSync(process.execPath, ["src/cli/main.ts", ...command], {
      stdio: ["ignore", full, "pipe"],
      encoding: "utf8",
    });
    closeSync(full);
    assert.equal(status, 1);
    assert.match(stderr, /^bulwark: standard output cannot be written: ENOSPC$/m);
    assert.doesNotMatch(stderr, /\n {4}at /);
  });
