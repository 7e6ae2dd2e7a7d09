/** Why the mesh does not have a workload that its files have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { nameRejected } from "../../src/cli/name-rejected.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";

const REJECTED = [
  {
    kind: "Pod",
    namespace: "a",
    name: "c",
    errors: [{ code: "BW1511_CAPTURE_ANNOTATION", severity: "error", message: "`x` is no port" }],
  },
] as const;

test("a name that is missing because its resource was rejected is told with the reason", () => {
  const error = new BulwarkError("BW_REQUEST_INVALID", "the mesh has no workload `a/c`", {
    detail: { index: 0 },
  });
  const named = nameRejected(error, REJECTED);
  assert.ok(named instanceof BulwarkError);
  assert.equal(
    named.message,
    "the mesh has no workload `a/c`\nPod a/c was rejected and takes no part:\nerror BW1511_CAPTURE_ANNOTATION: `x` is no port",
  );
  assert.deepEqual([named.code, named.detail], ["BW_REQUEST_INVALID", { index: 0 }]);
});

test("an error about anything else stays as it is", () => {
  const other = new BulwarkError("BW_REQUEST_INVALID", "the mesh has no workload `a/cc`");
  assert.equal(nameRejected(other, REJECTED), other);
  const bug = new Error("the mesh has no workload `a/c`");
  assert.equal(nameRejected(bug, REJECTED), bug);
});
