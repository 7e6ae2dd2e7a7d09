import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { AUDIT_RULES } from "../analysis/audit/rules.ts";
import { style } from "./render/style.ts";
import { findRule } from "./run-audit.ts";

/** Made by tools/rule-pages.ts. */
const PAGES = resolve(import.meta.dirname, "../../docs/rules");

/** @throws {BulwarkError} BW_CLI_INPUT where there is no such rule */
export function runExplain(id: string | undefined): void {
  if (id === undefined) {
    for (const { id, severity, title } of AUDIT_RULES)
      process.stdout.write(`${id}  ${severity.padEnd(8)}  ${title}\n`);
    return;
  }
  const page = readFileSync(resolve(PAGES, `${findRule(id).id}.md`), "utf8");
  process.stdout.write(page.replace(/^#+ .*$/gm, (heading) => style("bold", heading)));
}
