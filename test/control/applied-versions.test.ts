import assert from "node:assert/strict";
import { test } from "node:test";
import { AppliedVersions } from "../../src/control/applied-versions.ts";

test("a status that was asked for before a proxy was ready does not take back that it is", () => {
  const applied = new AppliedVersions();
  assert.deepEqual([applied.isEmpty, applied.of("a/b-0")], [true, 0]);
  applied.note("a/b-0", 1);
  applied.note("a/b-0", 0);
  assert.deepEqual([applied.isEmpty, applied.of("a/b-0")], [false, 1]);
  applied.note("a/b-0", 2);
  assert.equal(applied.of("a/b-0"), 2);
});

test("a pod that is gone is forgotten, so that its successor must be ready itself", () => {
  const applied = new AppliedVersions();
  applied.note("a/b-0", 3);
  applied.note("a/c-0", 3);
  applied.keepOnly(new Set(["a/c-0"]));
  assert.deepEqual([applied.of("a/b-0"), applied.of("a/c-0")], [0, 3]);
});
