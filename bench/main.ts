/**
 * Every benchmark, or the named ones: `npm run bench -- [codec] [flows] [decision] [signing] [revocation] [map] [verify] [tighten] [blast] [audit] [dataplane] [hbone] [netns] [netns-pods] [--quick]`. Each runs in a process of its own, so that
 * none measures a heap and compiled code that another has shaped. What else is given goes to every section (see each file's head).
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const SECTIONS: Readonly<Record<string, { readonly file: string; readonly quick: readonly string[] }>> = {
  codec: { file: "codec.ts", quick: ["--rounds", "3", "--heads", "20000"] },
  flows: { file: "flows.ts", quick: ["--rounds", "1", "--records", "20480"] },
  decision: { file: "decision/main.ts", quick: ["--quick", "--sizes", "10,100"] },
  signing: {
    file: "signing/main.ts",
    quick: ["--rounds", "3", "--certificates", "300", "--burst", "1000"],
  },
  revocation: { file: "revocation/main.ts", quick: ["--connections", "200", "--identities", "2"] },
  map: { file: "map/main.ts", quick: ["--sizes", "100,1000"] },
  verify: { file: "verify/main.ts", quick: ["--workloads", "300", "--invariants", "20"] },
  tighten: { file: "tighten/main.ts", quick: ["--records", "20000", "--workloads", "100"] },
  blast: { file: "blast/main.ts", quick: ["--workloads", "500"] },
  audit: { file: "audit/main.ts", quick: ["--workloads", "500"] },
  dataplane: { file: "dataplane/main.ts", quick: ["--quick"] },
  hbone: { file: "hbone/main.ts", quick: ["--rounds", "1", "--seconds", "1"] },
  netns: { file: "netns/main.ts", quick: ["--quick"] },
  "netns-pods": { file: "netns-pods/main.ts", quick: ["--pods", "8"] },
};

const given = process.argv.slice(2);
const named = given.filter((argument) => argument in SECTIONS);
const [first = ""] = given;
// Words behind an option are the option's.
if (/^[a-z]/.test(first) && !(first in SECTIONS)) {
  console.error(`there is no benchmark \`${first}\`: there are ${Object.keys(SECTIONS).join(", ")}`);
  process.exit(3);
}
const quick = given.includes("--quick");
const others = given.filter((argument) => argument !== "--quick" && !(argument in SECTIONS));

for (const name of named.length > 0 ? named : Object.keys(SECTIONS)) {
  const section = SECTIONS[name];
  if (section === undefined) continue;
  console.log(`\n== ${name}`);
  const args = [join(import.meta.dirname, section.file), ...(quick ? section.quick : []), ...others];
  const { status } = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
    stdio: "inherit",
  });
  if (status !== 0) process.exitCode = 1;
}
