import { hash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FuzzFinding } from "./fuzz-run.ts";

/** Where inputs that once broke a law are kept: one folder a target. */
export const FINDINGS_FOLDER = "test/fuzz-findings";

/** @returns the file. The name tells the law. */
export function saveFinding(target: string, { law, input }: FuzzFinding, folder = FINDINGS_FOLDER): string {
  const slug = law
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 60)
    .replace(/^-|-$/g, "");
  mkdirSync(join(folder, target), { recursive: true });
  const file = join(folder, target, `${slug}-${hash("sha256", input, "hex").slice(0, 8)}.bin`);
  writeFileSync(file, input);
  return file;
}
