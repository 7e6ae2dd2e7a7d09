/**
 * Writes docs/rules: a page for each rule of the audit, from the rule's own words and the meshes that its test has. A test holds the pages
 * to it (test/audit/rule-pages.test.ts).
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Finding } from "../src/analysis/audit/finding.ts";
import type { AuditRule } from "../src/analysis/audit/rule.ts";
import { AUDIT_RULES } from "../src/analysis/audit/rules.ts";
import { controlsRestingOn } from "../src/analysis/compliance/frameworks.ts";
import { auditFolder } from "../test/audit/audit-folder.ts";

const root = resolve(import.meta.dirname, "..");
const MESHES = join(root, "test/audit/rules");
export const PAGES = join(root, "docs/rules");
const ATTACKS = "../attacks.md";

/** What stands in docs/rules, by the files' names. */
export async function rulePages(
  rules: readonly AuditRule[] = AUDIT_RULES,
): Promise<ReadonlyMap<string, string>> {
  const pages = new Map([["README.md", indexPage(rules)]]);
  for (const rule of rules) pages.set(`${rule.id}.md`, await rulePage(rule));
  return pages;
}

function indexPage(rules: readonly AuditRule[]): string {
  const rows = rules.map(
    ({ id, title, severity, same = {} }) =>
      `| [${id}](${id}.md) | ${cell(title)} | ${severity} | ${Object.values(same).join(", ")} |`,
  );
  return [
    "# Rules of the audit",
    "",
    `The ${rules.length} rules of \`bulwark audit\`; \`bulwark explain ID\` shows a page in a terminal. These pages are made from the rules themselves by \`node tools/rule-pages.ts\`.`,
    "",
    "| rule | finds | severity | the same check elsewhere |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

async function rulePage(rule: AuditRule): Promise<string> {
  const { id, title, what, why, fix, severity, same, attacks, claims } = rule;
  const controls = controlsRestingOn(claims);
  const folder = join(MESHES, id);
  const { found } = await auditFolder(join(folder, "bad"), [rule]);
  const others = Object.entries(same ?? {}).map(([tool, code]) => `${code} of ${TOOLS[tool] ?? tool}`);
  const facts = [
    `**Severity:** ${severity}`,
    ...(others.length === 0 ? [] : [`**The same as:** ${others.join(", ")}`]),
    ...(attacks.length === 0
      ? []
      : [`**Attacks:** ${attacks.map((attack) => `[${attack}](${ATTACKS})`).join(", ")}`]),
    ...(controls.length === 0 ? [] : [`**Controls:** ${controls.join(", ")}`]),
  ];
  return [
    `# ${id}: ${title}`,
    facts.join("  \n"),
    `## What\n\n${what}`,
    `## Why it matters\n\n${why}`,
    `## How to mend it\n\n${fix}`,
    `## Example\n\n${filesOf(join(folder, "bad"))}\n\n\`bulwark audit\` says:\n\n${found.map(({ finding }) => `- ${saidOf(finding)}`).join("\n")}`,
    `## Mended\n\n${filesOf(join(folder, "fixed"))}`,
  ]
    .join("\n\n")
    .concat("\n");
}

const TOOLS: Readonly<Record<string, string>> = {
  istio: "`istioctl analyze`",
  kiali: "Kiali",
  snowcat: "Snowcat",
};

function saidOf({ file, line, resource, title }: Finding): string {
  return `${file === undefined ? "" : `\`${file}:${line}\` `}\`${resource}\`: ${title}`;
}

function filesOf(folder: string): string {
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const text = readFileSync(join(folder, file), "utf8").trimEnd();
      return `\`${file}\`\n\n\`\`\`${file.endsWith(".json") ? "json" : "yaml"}\n${text}\n\`\`\``;
    })
    .join("\n\n");
}

if (import.meta.main) {
  const pages = await rulePages();
  rmSync(PAGES, { recursive: true, force: true });
  mkdirSync(PAGES, { recursive: true });
  for (const [file, text] of pages) writeFileSync(join(PAGES, file), text);
  console.log(`${pages.size} pages in docs/rules`);
}
