/**
 * Compares our decisions with recorded ones: `npm run corpus -- ../shared/corpus*`. With `--live` the recorded requests are
 * sent over real sockets through our own proxies, in private networks (root, Linux). Exits with 1 where any differs.
 */
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { RUNNERS } from "./corpus/registry.ts";
import { runLive } from "./corpus/run-live.ts";
import { casesOf, complaint, type DecidedCase } from "./corpus/runner.ts";

const SHOWN = 20;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { live: { type: "boolean", default: false } },
});
let failed = false;

for (const folder of positionals) {
  const cases = await (values.live ? runLive(folder) : runOffline(folder));
  if (cases === undefined) {
    console.log(`${folder}: not compared${values.live ? " live" : ""} yet`);
    continue;
  }
  const complaints = cases.flatMap(({ name, decisions }) =>
    decisions.flatMap((decision) => complaint(decision) ?? []).map((text) => `${name}/${text}`),
  );
  if (complaints.length > 0) failed = true;
  for (const line of complaints.slice(0, SHOWN)) console.log(line);
  if (complaints.length > SHOWN) console.log(`… and ${complaints.length - SHOWN} more`);
  console.log(`${folder}: ${summary(cases)}`);
}
process.exit(failed ? 1 : 0);

function summary(cases: readonly DecidedCase[]): string {
  const agreeing = cases.filter(({ decisions }) => decisions.every((own) => complaint(own) === undefined));
  const all = cases.flatMap(({ decisions }) => decisions);
  const listed = all.filter(({ difference }) => difference !== undefined).length;
  const right = all.filter((own) => complaint(own) === undefined).length;
  const known = listed === 0 ? "" : `, ${listed} of them known differences`;
  return `${agreeing.length}/${cases.length} agree (${right}/${all.length} decisions${known})`;
}

async function runOffline(folder: string): Promise<readonly DecidedCase[] | undefined> {
  const runner = RUNNERS.find(({ corpus }) => corpus === basename(resolve(folder)));
  if (runner === undefined) return undefined;
  const cases: DecidedCase[] = [];
  for (const name of casesOf(folder))
    cases.push({ name, decisions: await runner.runCase(join(folder, name)) });
  return cases;
}
