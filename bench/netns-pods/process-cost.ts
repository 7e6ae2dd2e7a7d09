import { readFileSync } from "node:fs";

/** What a process costs; memory in MiB. */
export interface ProcessCost {
  /** Pages that nobody else has. */
  readonly own: number;
  /** Own pages, and of shared ones the part that falls to it: the sum over all processes is what they need together. */
  readonly proportional: number;
  /** All pages that it sees, shared ones in full. */
  readonly resident: number;
  readonly cpuSeconds: number;
}

/** `sysconf(_SC_CLK_TCK)` of Linux on all of its machines. */
const TICKS_PER_SECOND = 100;
const UTIME = 11;

/** As the kernel counts it (`smaps_rollup`, `stat`): the process's own, and processor time of what it was before by `exec`. */
export function processCost(pid: number): ProcessCost {
  const rows = new Map(
    [...readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(/^(\w+): +(\d+) kB/gm)].map(
      ([, name = "", kib]) => [name, Number(kib) / 1024],
    ),
  );
  const row = (name: string) => rows.get(name) ?? Number.NaN;
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, in brackets, may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(UTIME, UTIME + 4).reduce((sum, field) => sum + Number(field), 0);
  return {
    own: row("Private_Clean") + row("Private_Dirty"),
    proportional: row("Pss"),
    resident: row("Rss"),
    cpuSeconds: ticks / TICKS_PER_SECOND,
  };
}
