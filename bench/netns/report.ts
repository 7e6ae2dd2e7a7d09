import type { LoadFigures } from "../dataplane/load.ts";
import { median } from "../dataplane/report.ts";
import type { Capturer } from "./captured-pods.ts";

/** What one run gave. */
export interface Sample {
  readonly figures: LoadFigures;
  /** Processor time of each sidecar for each request, µs, all threads. */
  readonly client: number;
  readonly server: number;
}

const LARGE_ANSWER_BYTES = 65_536;

export const HEADER = [
  "| job | sidecars | requests/s | MB/s | p50 ms | p99 ms | CPU µs/request, client's + server's | Envoy's CPU ÷ this (least … most) | requests/s ÷ Envoy's |",
  "|---|---|---:|---:|---:|---:|---:|---:|---:|",
].join("\n");

/** The rows of one job, as Markdown; ratios are taken within a round, and their median shown. */
export function rows(
  title: string,
  isLarge: boolean,
  rounds: readonly ReadonlyMap<Capturer, Sample>[],
): string {
  return [...(rounds[0]?.keys() ?? [])]
    .map((name, at) => {
      const samples = rounds.flatMap((round) => round.get(name) ?? []);
      const middle = (of: (sample: Sample) => number): number => median(samples.map(of));
      const cells = [
        at === 0 ? title : "",
        name,
        middle(perSecond).toFixed(0),
        isLarge ? (middle(perSecond) * (LARGE_ANSWER_BYTES / 1e6)).toFixed(0) : "",
        middle(({ figures }) => figures.p50Ms).toFixed(2),
        middle(({ figures }) => figures.p99Ms).toFixed(2),
        name === "no proxy"
          ? ""
          : `${middle(({ client }) => client).toFixed(1)} + ${middle(({ server }) => server).toFixed(1)}`,
        name === "no proxy" ? "" : ratio(rounds, name, (envoy, own) => cpu(envoy) / cpu(own)),
        ratio(rounds, name, (envoy, own) => perSecond(own) / perSecond(envoy)),
      ];
      return `| ${cells.join(" | ")} |`;
    })
    .join("\n");
}

function perSecond({ figures }: Sample): number {
  return figures.requests / figures.seconds;
}

function cpu({ client, server }: Sample): number {
  return client + server;
}

function ratio(
  rounds: readonly ReadonlyMap<Capturer, Sample>[],
  name: Capturer,
  of: (envoy: Sample, own: Sample) => number,
): string {
  if (name === "Envoy") return "1";
  const found = rounds.flatMap((round) => {
    const [envoy, own] = [round.get("Envoy"), round.get(name)];
    return envoy === undefined || own === undefined ? [] : [of(envoy, own)];
  });
  const spread = `${Math.min(...found).toFixed(2)} … ${Math.max(...found).toFixed(2)}`;
  return `**${median(found).toFixed(2)}** (${spread})`;
}
