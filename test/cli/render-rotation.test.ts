import assert from "node:assert/strict";
import { test } from "node:test";
import { renderRotation } from "../../src/cli/render/rotation.ts";
import type { RotationReport } from "../../src/control/rotation/messages.ts";

const QUIET: RotationReport = {
  rotation: null,
  last: null,
  proxies: 3,
  waitingFor: [],
  overlapUntil: null,
  problem: null,
  authorities: { roots: [], intermediate: "", intermediateNotAfter: "" },
};

test("status says nothing of the CA's keys where all is well, and what keeps them from being replaced where it is not", () => {
  assert.equal(renderRotation(QUIET), "");
  assert.match(
    renderRotation({ ...QUIET, problem: "other roots are in force" }),
    /the CA's keys: other roots are in force.*\n$/,
  );
});
