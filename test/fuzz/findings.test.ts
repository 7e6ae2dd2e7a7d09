import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { brokenBy, LONGEST_CPU_MS } from "../../tools/fuzz/fuzz-run.ts";
import { FINDINGS_FOLDER } from "../../tools/fuzz/save-finding.ts";
import { findTarget } from "../../tools/fuzz/target-list.ts";

/** Inputs that once broke a law of their target, as fuzzing saved them. */
for (const name of readdirSync(FINDINGS_FOLDER)) {
  test(`inputs that fuzzing ${name} found break no law any more`, async () => {
    const target = await findTarget(name).open();
    const files = readdirSync(join(FINDINGS_FOLDER, name));
    assert.ok(files.length > 0);
    for (const file of files) {
      const before = process.threadCpuUsage();
      const outcome = await brokenBy(target, readFileSync(join(FINDINGS_FOLDER, name, file)));
      const { user, system } = process.threadCpuUsage(before);
      assert.equal(typeof outcome, "string", `${file}: ${String(outcome)}`);
      assert.ok((user + system) / 1000 < LONGEST_CPU_MS, `${file} takes long`);
    }
    await target.close?.();
  });
}
