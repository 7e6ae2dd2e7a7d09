import { readdirSync, readFileSync } from "node:fs";

/**
 * Nanoseconds that all threads of a process have been on a processor: as the scheduler counts them, not in ticks.
 * Linux only; a thread that has ended is not counted any more (none of those measured here ends).
 * @see https://docs.kernel.org/scheduler/sched-stats.html
 */
export function cpuNanos(pid: number): number {
  let nanos = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [onCpu] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ", 1);
    nanos += Number(onCpu);
  }
  return nanos;
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
  return Number(kib) * 1024;
}
