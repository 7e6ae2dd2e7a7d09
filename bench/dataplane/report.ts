import type { Job } from "./jobs.ts";
import type { Sample } from "./measure.ts";

export const HEADER = [
  "| job | proxy | requests/s | p50 ms | p99 ms | CPU µs/request | Envoy's CPU ÷ this (least … most) |",
  "|---|---|---:|---:|---:|---:|---:|",
].join("\n");

/**
 * The rows of one job, as Markdown. The ratio is the median over rounds of the first subject's CPU ÷ this one's in the same round:
 * what else the machine does meanwhile meets both.
 */
export function rows(job: Job, rounds: readonly ReadonlyMap<string, Sample>[]): string {
  const [first] = rounds;
  const names = [...(first?.keys() ?? [])];
  const [reference = ""] = names;
  return names
    .map((name) => {
      const samples = rounds.map((round) => round.get(name) as Sample);
      const cells = [
        name === reference ? job.title : "",
        name,
        middle(samples, (sample) => sample.requestsPerSecond).toFixed(0),
        middle(samples, (sample) => sample.figures.p50Ms).toFixed(2),
        middle(samples, (sample) => sample.figures.p99Ms).toFixed(2),
        cpuCell(samples),
        name === reference ? "1" : ratioCell(job, name, ratios(rounds, reference, name)),
      ];
      return `| ${cells.join(" | ")} |`;
    })
    .join("\n");
}

function cpuCell(samples: readonly Sample[]): string {
  const own = middle(samples, (sample) => sample.cpuMicros).toFixed(1);
  if (samples.some(({ logMicros }) => logMicros === undefined)) return own;
  return `${own} (+ ${middle(samples, (sample) => sample.logMicros ?? 0).toFixed(1)} in the flow store)`;
}

function ratioCell(job: Job, name: string, found: readonly number[]): string {
  const ratio = median(found);
  const spread = `${Math.min(...found).toFixed(2)} … ${Math.max(...found).toFixed(2)}`;
  const { target } = job;
  const verdict =
    target === undefined || name !== "bulwark"
      ? ""
      : `, target ${target.toFixed(1)}: ${ratio >= target ? "met" : "MISSED"}`;
  return `**${ratio.toFixed(2)}** (${spread})${verdict}`;
}

function ratios(
  rounds: readonly ReadonlyMap<string, Sample>[],
  reference: string,
  name: string,
): readonly number[] {
  return rounds.map((round) => (round.get(reference)?.cpuMicros ?? 0) / (round.get(name)?.cpuMicros ?? 0));
}

function middle(samples: readonly Sample[], of: (sample: Sample) => number): number {
  return median(samples.map(of));
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}
