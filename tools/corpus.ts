/** Compares our decisions with recorded ones: `npm run corpus -- ../shared/corpus*`. Exits with 1 where any differs. */
import { readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { RUNNERS } from "./corpus/registry.ts";
import { agrees, type CorpusDecision } from "./corpus/runner.ts";

const SHOWN = 20;
let failed = false;

for (const folder of process.argv.slice(2)) {
  const runner = RUNNERS.find(({ corpus }) => corpus === basename(resolve(folder)));
  if (runner === undefined) {
    console.log(`${folder}: not compared yet`);
    continue;
  }
  const cases = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const differing: string[] = [];
  let decisions = 0;
  for (const { name } of cases) {
    const decided = await runner.runCase(join(folder, name));
    decisions += decided.length;
    const wrong = decided.filter((decision) => !agrees(decision));
    if (wrong.length > 0) differing.push(...wrong.map(describe));
    if (wrong.length > 0) failed = true;
  }
  const wrongCases = new Set(differing.map((line) => line.slice(0, line.indexOf("-")))).size;
  for (const line of differing.slice(0, SHOWN)) console.log(line);
  if (differing.length > SHOWN) console.log(`… and ${differing.length - SHOWN} more`);
  console.log(
    `${folder}: ${cases.length - wrongCases}/${cases.length} agree (${decisions - differing.length}/${decisions} decisions)`,
  );
}
process.exit(failed ? 1 : 0);

function describe({ id, expected, actual }: CorpusDecision): string {
  return `${id}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
}
