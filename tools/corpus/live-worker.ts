/** Runs live cases inside a private network: `live-worker.ts FOLDER CASE…`, one JSON line for each decision. */
import { basename, join } from "node:path";

import { closeAuthorities } from "./live-proxy.ts";
import { LIVE_RUNNERS } from "./live-registry.ts";
import { ownEveryAddress } from "./private-network.ts";
import type { LiveLine } from "./run-live.ts";

const [folder = "", ...cases] = process.argv.slice(2);
const corpus = basename(folder);
const runner = LIVE_RUNNERS.find((candidate) => candidate.corpus === corpus);
if (runner === undefined) throw new Error(`no live runner for ${corpus}`);
ownEveryAddress();
for (const name of cases)
  for (const decision of await runner.runCase(join(folder, name)))
    console.log(JSON.stringify({ name, decision } satisfies LiveLine));
await closeAuthorities();
// A client may still wait for the end of a connection that nobody needs any more.
process.exit(0);
