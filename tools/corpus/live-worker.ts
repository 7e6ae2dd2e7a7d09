/** Runs live cases inside a private network: `live-worker.ts CORPUS CASE…`, one JSON line for each decision. */

import { closeAuthorities } from "./live-proxy.ts";
import { LIVE_RUNNERS } from "./live-registry.ts";
import { ownEveryAddress } from "./private-network.ts";

const [corpus = "", ...folders] = process.argv.slice(2);
const runner = LIVE_RUNNERS.find((candidate) => candidate.corpus === corpus);
if (runner === undefined) throw new Error(`no live runner for ${corpus}`);
ownEveryAddress();
for (const folder of folders)
  for (const decision of await runner.runCase(folder)) console.log(JSON.stringify(decision));
await closeAuthorities();
// A client may still wait for the end of a connection that nobody needs any more.
process.exit(0);
