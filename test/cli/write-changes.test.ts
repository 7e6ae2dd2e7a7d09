import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import type { ResourceChange } from "../../src/analysis/tighten/manifest.ts";
import { exitCodeOfFailure } from "../../src/cli/exit-code.ts";
import { checkOutFolder, type WriteFile, writeChanges } from "../../src/cli/write-changes.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";

const folder = mkdtempSync(join(tmpdir(), "write-changes-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const CHANGES = (["add", "replace", "add"] as const).map(
  (action, at): ResourceChange => ({
    action,
    why: "a test",
    manifest: {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: `p${at}`, namespace: "shop" },
      spec: {},
    },
  }),
);

/** Of the third file on. */
function failingWith(code: string): WriteFile {
  let written = 0;
  return (path, text) => {
    written++;
    if (written === 3) throw Object.assign(new Error(`${code}: write`), { code });
    writeFileSync(path, text);
  };
}

function fresh(name: string): string {
  const parent = join(folder, name);
  mkdirSync(parent);
  return parent;
}

function failureOf(act: () => void): BulwarkError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof BulwarkError, String(error));
    return error;
  }
  return assert.fail("nothing failed");
}

test("all files are there, under the usual mode, in a new folder, an empty one, and one that a link leads to", () => {
  const parent = fresh("whole");
  mkdirSync(join(parent, "empty"));
  mkdirSync(join(parent, "real"));
  symlinkSync("real", join(parent, "link"));
  for (const name of ["new/deep", "empty", "link"]) {
    const out = join(parent, name);
    checkOutFolder(out);
    writeChanges(out, CHANGES);
    assert.deepEqual(readdirSync(out).toSorted(), ["1-add", "2-replace"]);
    assert.deepEqual(readdirSync(join(out, "1-add")).toSorted(), [
      "authorizationpolicy-shop-p0-0.yaml",
      "authorizationpolicy-shop-p2-2.yaml",
    ]);
    assert.equal(statSync(out).mode & 0o777, 0o777 & ~process.umask());
  }
  assert.deepEqual(readdirSync(parent).toSorted(), ["empty", "link", "new", "real"]);
});

test("where a file cannot be written nothing is left, and the error names folder and reason: a full disk is the machine's failure, a bad place the caller's", () => {
  for (const [code, ends, says] of [
    ["ENOSPC", 1, /the disk is full/],
    ["EIO", 1, /EIO/],
    ["EACCES", 3, /no permission/],
    ["EROFS", 3, /read-only/],
  ] as const) {
    const parent = fresh(code);
    const out = join(parent, "out");
    const failure = failureOf(() => writeChanges(out, CHANGES, failingWith(code)));
    assert.equal(exitCodeOfFailure(failure.code), ends);
    assert.match(failure.message, says);
    assert.ok(failure.message.includes(out), failure.message);
    assert.deepEqual(readdirSync(parent), []);
  }
});

test("a folder that holds something, what is no folder, and what is in none are refused before and after the work, and left as they are", () => {
  const parent = fresh("held");
  const out = join(parent, "out");
  mkdirSync(out);
  writeFileSync(join(out, "mine"), "");
  writeFileSync(join(parent, "file"), "");
  for (const place of [out, join(parent, "file"), join(parent, "file", "in")])
    for (const act of [() => checkOutFolder(place), () => writeChanges(place, CHANGES)]) {
      const failure = failureOf(act);
      assert.equal(failure.code, "BW_CLI_INPUT", failure.message);
      assert.ok(failure.message.includes(place), failure.message);
    }
  assert.deepEqual(readdirSync(parent).toSorted(), ["file", "out"]);
  assert.deepEqual(readdirSync(out), ["mine"]);
});

test("a process that is killed in between leaves nothing under the name that was asked for", () => {
  const parent = fresh("killed");
  const out = join(parent, "out");
  const module = resolve(import.meta.dirname, "../../src/cli/write-changes.ts");
  const script = `
    const { writeChanges } = await import(${JSON.stringify(module)});
    const { writeFileSync } = await import("node:fs");
    let written = 0;
    writeChanges(${JSON.stringify(out)}, ${JSON.stringify(CHANGES)}, (path, text) => {
      writeFileSync(path, text);
      if (++written === 2) process.kill(process.pid, "SIGKILL");
    });`;
  const { signal } = spawnSync(process.execPath, ["--input-type=module", "--eval", script]);
  assert.equal(signal, "SIGKILL");
  const [left, ...others] = readdirSync(parent);
  assert.match(left ?? "", /^\.out\.unfinished-/);
  assert.deepEqual(others, []);
  writeChanges(out, CHANGES);
  assert.deepEqual(readdirSync(out).toSorted(), ["1-add", "2-replace"]);
});
