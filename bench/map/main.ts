/**
 * `bulwark map --network-only` on generated meshes: `npm run bench -- map [--sizes 1000,10000] [--rival PROGRAM]`. Processor time of one run of the
 * whole command, from YAML to JSON, and of a netpol-analyzer (rival.ts) on the same files with the answers compared.
 */
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { writeMapMesh } from "./generate.ts";
import { findRival } from "./rival.ts";

const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "1000,10000" },
    rival: { type: "string" },
    "rival-limit": { type: "string", default: "1000" },
  },
});
const bulwark = resolve(import.meta.dirname, "../../bin/bulwark");
const folder = mkdtempSync(join(tmpdir(), "bulwark-map-"));

interface Run {
  readonly cpuSeconds: number;
  readonly output: string;
}

/** The shell's `times` counts what the child has used, all of its threads. */
function timed(program: string, args: readonly string[], output: string): Run {
  const out = openSync(output, "w");
  const script = 'exec 3>&1; "$@" >&3; code=$?; times >&2; exit $code';
  const { status, stderr } = spawnSync("bash", ["-c", script, "bash", program, ...args], {
    stdio: ["ignore", out, "pipe"],
    encoding: "utf8",
  });
  closeSync(out);
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr.slice(-500)}`);
  const last = stderr.trim().split("\n").at(-1) ?? "";
  const seconds = [...last.matchAll(/(\d+)m([\d.]+)s/g)].map(([, m, s]) => Number(m) * 60 + Number(s));
  return { cpuSeconds: seconds.reduce((sum, own) => sum + own, 0), output };
}

/** Of the rival's processor time at 1,000 workloads, and of our own at 10,000, where the rival does not come to an end. */
const TARGET_RATIO = 25;
const TARGET_SECONDS = 60;

const { program: rivalProgram, told } = findRival(values.rival);
console.log(told);
try {
  console.log("workloads   files MB   lines       CPU s   rival CPU s   ratio   same answer");
  for (const size of values.sizes.split(",").map(Number)) {
    const mesh = join(folder, `mesh-${size}`);
    const bytes = writeMapMesh(mesh, size);
    const own = timed(bulwark, ["map", mesh, "--network-only", "--format", "json"], join(folder, "own.json"));
    const rival =
      rivalProgram !== undefined && size <= Number(values["rival-limit"])
        ? timed(rivalProgram, ["list", "--dirpath", mesh, "-o", "json", "-q"], join(folder, "rival.json"))
        : undefined;
    console.log(row(size, bytes, own, rival));
    const target = targetText(size, own, rival);
    if (target !== undefined) console.log(`  ${target}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function row(size: number, bytes: number, own: Run, rival: Run | undefined): string {
  return [
    String(size).padEnd(11),
    (bytes / 1e6).toFixed(1).padEnd(10),
    lineCount(own).toString().padEnd(11),
    own.cpuSeconds.toFixed(2).padEnd(7),
    (rival?.cpuSeconds.toFixed(2) ?? "-").padEnd(13),
    rival === undefined ? "-".padEnd(7) : (rival.cpuSeconds / own.cpuSeconds).toFixed(1).padEnd(7),
    rival === undefined ? "-" : String(sameAnswer(own.output, rival.output)),
  ].join(" ");
}

function targetText(size: number, own: Run, rival: Run | undefined): string | undefined {
  const verdict = (isMet: boolean): string => (isMet ? "met" : "MISSED");
  if (size === 10_000)
    return `target ${TARGET_SECONDS} s of processor: ${verdict(own.cpuSeconds <= TARGET_SECONDS)}`;
  if (size !== 1_000) return undefined;
  if (rival === undefined) return `target ${TARGET_RATIO} times less than the rival: not compared`;
  const isMet = rival.cpuSeconds >= TARGET_RATIO * own.cpuSeconds && sameAnswer(own.output, rival.output);
  return `target ${TARGET_RATIO} times less than the rival, the same answer: ${verdict(isMet)}`;
}

/** Every entry stands on a line of its own. */
function lineCount({ output }: Run): number {
  return statSync(output).size > 400e6 ? -1 : readFileSync(output, "utf8").split("\n").length - 3;
}

function sameAnswer(own: string, rival: string): boolean {
  const ours = (
    JSON.parse(readFileSync(own, "utf8")) as { from: string; to: string; connections: string }[]
  ).map(({ from, to, connections }) => `${from} ${to} ${connections}`);
  const theirs = (
    JSON.parse(readFileSync(rival, "utf8")) as { src: string; dst: string; conn: string }[]
  ).map(({ src, dst, conn }) => `${src} ${dst} ${conn}`.replaceAll("[External]", ""));
  return ours.sort().join("\n") === theirs.sort().join("\n");
}
