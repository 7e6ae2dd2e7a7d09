/**
 * One engine in a process of its own: `serve-engine.ts NAME WORKLOAD.json MODULES`. Reads `answers N` and `run N` from standard
 * input, and answers each with one line of JSON, as opa/main.go does.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { MakeEngine } from "./engine.ts";
import { makeBulwark } from "./engines/bulwark.ts";
import { makeCasbin } from "./engines/casbin.ts";
import { makeCedar } from "./engines/cedar.ts";
import { makeLinear } from "./engines/linear.ts";
import type { BenchWorkload } from "./workload.ts";

/** Requests that are made at once: few, since a proxy decides on what it has just parsed, which its caches still hold. */
const BATCH = 250;

const [name = "", file = "", modules = ""] = process.argv.slice(2);
const ENGINES: Readonly<Record<string, MakeEngine>> = {
  bulwark: makeBulwark,
  linear: makeLinear,
  cedar: makeCedar(modules),
  casbin: makeCasbin(modules),
};
const workload = JSON.parse(readFileSync(file, "utf8")) as BenchWorkload;
const make = ENGINES[name];
if (make === undefined) throw new Error(`no engine ${name}`);
const engine = await make(workload);
console.log('"ready"');
for await (const line of createInterface({ input: process.stdin })) {
  const [command, text] = line.split(" ");
  const requests = take(Number(text));
  console.log(
    JSON.stringify(command === "answers" ? requests.map((r) => engine.answer(r)) : measure(requests)),
  );
}

function measure(requests: BenchWorkload["requests"]): { nanos: number; sum: number } {
  let nanos = 0;
  let sum = 0;
  for (let at = 0; at < requests.length; at += BATCH) {
    engine.prepare(requests.slice(at, at + BATCH));
    const before = process.cpuUsage();
    sum += engine.run();
    const { user, system } = process.cpuUsage(before);
    nanos += (user + system) * 1000;
  }
  return { nanos, sum };
}

/** As many as asked for: of the workload's, again from the start where they are fewer. */
function take(count: number): BenchWorkload["requests"] {
  const { requests } = workload;
  return Array.from({ length: count }, (_, index) => requests[index % requests.length]).filter(
    (request) => request !== undefined,
  );
}
