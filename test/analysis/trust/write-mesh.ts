/** A mesh of one file in a folder of its own, which goes with the test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export function writeMesh(t: TestContext, yaml: string): string {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-trust-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "mesh.yaml"), yaml);
  return folder;
}
