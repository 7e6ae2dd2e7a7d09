/** A process that runs tests in itself, with one mutant after the other: `node worker.ts SETTINGS`, orders by IPC. */
import { pathToFileURL } from "node:url";
import { useSnapshot } from "./module-hooks.ts";
import type { Order, WorkerSettings } from "./protocol.ts";
import { record } from "./record.ts";
import { Switchboard } from "./switchboard.ts";
import { TestBench } from "./test-bench.ts";

const settings = JSON.parse(process.argv[2] ?? "{}") as WorkerSettings;
const board = new Switchboard(settings.mutants, settings.recording);
Object.assign(globalThis, { __mutation__: board });
useSnapshot(settings.snapshot);

const bench = new TestBench(board, (file) => import(pathToFileURL(file).href));

// Ctrl-C reaches the whole group; the command decides what ends, and when it is gone so are we.
process.on("SIGINT", () => undefined);
process.on("disconnect", () => process.exit(0));
// What a failed test leaves behind rejects later, when another test runs: it says nothing of that one.
process.on("unhandledRejection", () => undefined);
process.on("message", (order: Order) => {
  void obey(order).then((answer) => process.send?.(answer));
});

async function obey(order: Order): Promise<unknown> {
  switch (order.kind) {
    case "record":
      return record(board, bench, order);
    case "know":
      bench.know(order.tests, order.setups);
      return {};
    case "try": {
      const tried = await bench.tryMutant(order);
      return { ...tried, rssBytes: process.memoryUsage.rss() };
    }
  }
}
