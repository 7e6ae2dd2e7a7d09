/** The properties of the decision and the analysis at several times what `npm test` has time for. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

/** `access-map` and `verify-access` take minutes each when they are long, and are run by hand (docs/verify.md). */
const FILES = [
  "test/analysis/access-map-ambient.test.ts",
  "test/analysis/client-changes.test.ts",
  "test/analysis/diff-access.test.ts",
  "test/analysis/moved-clients.test.ts",
  "test/analysis/network-changes.test.ts",
  "test/analysis/proxy-changes.test.ts",
  "test/analysis/server-space.test.ts",
  "test/analysis/tighten/all-kinds.test.ts",
  "test/analysis/tighten/tighten-property.test.ts",
  "test/analysis/token-changes.test.ts",
  "test/fuzz/short-runs.test.ts",
  "test/policy/network/network-agreement.test.ts",
  "test/policy/reference-agreement.test.ts",
];
const MORE = { ANALYSIS_RUNS: "20", BULWARK_RUNS: "600", PROXY_RUNS: "8", FUZZ_TIMES: "8" };

for (const file of FILES)
  test(`${file}, long`, () => {
    const { NODE_TEST_CONTEXT, ...environment } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
      encoding: "utf8",
      env: { ...environment, ...MORE },
    });
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.match(stdout, /^ℹ pass [1-9]/m);
  });
