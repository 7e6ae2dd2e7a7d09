export const TABLE_HEAD = [
  "| rules | engine | CPU µs a decision | ÷ Bulwark's (least … most) |",
  "|---:|---|---:|---:|",
].join("\n");

/** One row, as Markdown. The ratio is the median over rounds of this one's processor time ÷ ours in the same round. */
export function row(rules: number, name: string, nanos: readonly number[], ours: readonly number[]): string {
  const ratios = nanos.map((own, round) => own / (ours[round] ?? Number.NaN));
  const range = `${short(Math.min(...ratios))} … ${short(Math.max(...ratios))}`;
  const ratio = nanos === ours ? "1" : `${short(median(ratios))} (${range})`;
  return `| ${rules} | ${name} | ${micros(median(nanos))} | ${ratio} |`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function micros(nanos: number): string {
  return (nanos / 1000).toFixed(nanos < 10_000 ? 2 : 0);
}

function short(ratio: number): string {
  return ratio < 20 ? ratio.toFixed(1) : ratio.toFixed(0);
}
