/** One target's run in a thread of its own, so that an input which never comes back can be told and ended. */
import { parentPort, workerData } from "node:worker_threads";
import { fuzz } from "./fuzz-run.ts";
import { findTarget } from "./target-list.ts";

export interface WorkerTask {
  readonly target: string;
  readonly seed: number;
  readonly maxMs: number;
  /** Of {@link WATCH_BYTES}: how many inputs were begun, length of the present one, and the input. */
  readonly watch: SharedArrayBuffer;
}

export const WATCH_HEADER_BYTES = 8;
export const WATCH_BYTES = WATCH_HEADER_BYTES + 256 * 1024;

if (parentPort !== null) await work(parentPort, workerData as WorkerTask);

async function work(port: NonNullable<typeof parentPort>, task: WorkerTask): Promise<void> {
  const header = new Int32Array(task.watch, 0, 2);
  const room = new Uint8Array(task.watch, WATCH_HEADER_BYTES);
  const target = await findTarget(task.target).open();
  const summary = await fuzz(target, {
    seed: task.seed,
    maxInputs: Number.POSITIVE_INFINITY,
    maxMs: task.maxMs,
    watchMemory: true,
    onInput: (input) => {
      room.set(input.subarray(0, room.length));
      header[1] = Math.min(input.length, room.length);
      Atomics.add(header, 0, 1);
    },
    onFinding: (finding) => port.postMessage({ finding }),
  });
  await target.close?.();
  port.postMessage({ summary });
}
