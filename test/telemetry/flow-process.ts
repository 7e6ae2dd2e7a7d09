/** The processes that flow-kill.test.ts kills: `store PATH` acknowledges what it stored, `proxy DIR` buffers for a log that is away. */
import { FlowBuffer } from "../../src/telemetry/flow-buffer.ts";
import { FlowStore } from "../../src/telemetry/flow-store.ts";
import { BASE_MICROS, sampleDraft } from "./flow-arbitrary.ts";

const [role, path = ""] = process.argv.slice(2);

function serveStore(): void {
  const store = new FlowStore(path, { nowMs: () => BASE_MICROS / 1000 });
  process.on("message", (text) => {
    store.insertLines(String(text), { reporter: "finance/payroll" });
    process.send?.("stored");
  });
  process.send?.("ready");
}

async function runProxy(): Promise<void> {
  const buffer = new FlowBuffer({
    reporter: "finance/payroll",
    spillDir: path,
    flushIntervalMs: 60_000,
    send: () => Promise.reject(new Error("the log is away")),
  });
  buffer.push(sampleDraft(0));
  await buffer.flush(50);
  for (let n = 1; n < 3000; n++) buffer.push(sampleDraft(n));
  await buffer.flush(50);
  for (let n = 3000; n < 3010; n++) buffer.push(sampleDraft(n));
  process.send?.("flushed");
  setInterval(() => undefined, 1000);
}

if (role === "store") serveStore();
else await runProxy();
