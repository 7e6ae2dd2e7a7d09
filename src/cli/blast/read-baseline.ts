/** An earlier answer of `blast`, from a file that anybody may have written, cut off or mistaken for another. */
import { readFileSync } from "node:fs";
import { componentId } from "../../analysis/blast/component.ts";
import type { RadiusCounts } from "../../analysis/blast/radius.ts";
import type { GainStep, ReachStep } from "../../analysis/blast/report.ts";
import type { WatchedOverview, WatchedReport } from "../../analysis/blast/watch/comparison.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { PROGRAM_VERSION } from "../program-version.ts";
import { BLAST_KIND, BLAST_SCHEMA } from "./blast-document.ts";
import { JsonReader, NotAsExpected } from "./json-reader.ts";

/** One of the two. */
export interface Baseline {
  readonly overview?: WatchedOverview;
  readonly report?: WatchedReport;
  readonly unclear: readonly string[];
}

/** What is asked for now. */
export interface AskedNow {
  readonly semantics: Semantics;
  /** As it was written; absent: the overview. */
  readonly compromise?: string;
}

/** @throws {BulwarkError} BW_CLI_INPUT where it is no such file, or of something else than is asked for now. */
export function readBaseline(file: string, asked: AskedNow): Baseline {
  const reader = new JsonReader(parse(file, textOf(file)));
  try {
    checkHead(reader, file, asked.semantics);
    const baseline = bodyOf(reader);
    checkSubject(baseline, file, asked.compromise);
    return baseline;
  } catch (error) {
    if (!(error instanceof NotAsExpected)) throw error;
    throw refusal(file, `is no whole answer of \`bulwark blast --format json\`: ${error.message}`, error);
  }
}

function refusal(file: string, why: string, cause?: unknown): BulwarkError {
  return new BulwarkError("BW_CLI_INPUT", `--baseline \`${file}\` ${why}`, { cause });
}

const HOW_TO_MAKE = "make one by `bulwark blast DIR --format json > FILE`";

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw refusal(file, `is not there: ${HOW_TO_MAKE}`, error);
    if (code === "EISDIR")
      throw refusal(file, `is a folder, and not the answer of a run: ${HOW_TO_MAKE}`, error);
    throw refusal(file, `cannot be read (${code ?? "unknown"})`, error);
  }
}

function parse(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = text.trim() === "" ? "is empty" : "is not JSON, or cut off";
    throw refusal(file, `${why}: ${HOW_TO_MAKE}`, error);
  }
}

/** What is counted, and how, may be another matter in another version: a difference would be nobody's. */
function checkHead(reader: JsonReader, file: string, semantics: Semantics): void {
  if (reader.at("kind").isAbsent || reader.at("kind").text() !== BLAST_KIND)
    throw new NotAsExpected(`\`kind\` is not "${BLAST_KIND}"`);
  const schema = reader.at("schema").count();
  if (schema !== BLAST_SCHEMA)
    throw refusal(file, `has schema ${schema}, and this Bulwark reads ${BLAST_SCHEMA}: make it anew`);
  const version = reader.at("bulwark").text();
  if (version !== PROGRAM_VERSION)
    throw refusal(
      file,
      `was made by Bulwark ${JSON.stringify(version)}, and this is ${PROGRAM_VERSION}, which may count other things: make it anew by this one, from the files as they were`,
    );
  const own = reader.at("semantics").oneOf<Semantics>(["istio", "strict"]);
  if (own !== semantics)
    throw refusal(file, `is for --semantics ${own}, and this run is for ${semantics}: give the same`);
  if (!reader.at("modes").isAbsent)
    throw refusal(file, "was made with --compare: make it without, of the mesh as it is");
}

function bodyOf(reader: JsonReader): Baseline {
  const unclear = reader.at("unclear").texts();
  if (!reader.at("mode").isAbsent)
    throw new NotAsExpected("it is of one mode of the mesh, not of the mesh as it is");
  if (!reader.at("overview").isAbsent) return { overview: overviewOf(reader.at("overview")), unclear };
  return { report: reportOf(reader.at("report")), unclear };
}

function checkSubject({ report }: Baseline, file: string, compromise: string | undefined): void {
  const written = compromise === undefined ? undefined : componentId(compromise);
  if (report?.component === written) return;
  const [was, now] = [report?.component, written].map((name) =>
    name === undefined ? "the whole mesh" : `\`${name}\``,
  );
  const give = report === undefined ? "leave --compromise out" : `give --compromise ${report.component}`;
  throw refusal(file, `is of ${was}, and this run is of ${now}: ${give}, or another file`);
}

function overviewOf(reader: JsonReader): WatchedOverview {
  const components = reader.at("components").list((entry) => ({
    component: entry.at("component").text(),
    score: entry.at("score").number(),
    ...countsOf(entry),
    gains: entry.at("gains").isNull ? null : entry.at("gains").count(),
  }));
  if (new Set(components.map(({ component }) => component)).size < components.length)
    throw new NotAsExpected("`overview.components` has one of them twice");
  return {
    components,
    meshScore: reader.at("meshScore").number(),
    workloads: reader.at("workloads").count(),
  };
}

function reportOf(reader: JsonReader): WatchedReport {
  const mayAskFor = reader.at("mayAskFor");
  return {
    component: reader.at("component").text(),
    score: reader.at("score").number(),
    counts: countsOf(reader.at("counts")),
    workloads: reader.at("workloads").count(),
    controls: reader.at("controls").texts(),
    gains: reader.at("gains").list(gainOf),
    reaches: reader.at("reaches").list(reachOf),
    further: reader.at("further").list(reachOf),
    mayAskFor: mayAskFor.isText("all") ? "all" : mayAskFor.texts(),
    externalHosts: reader.at("externalHosts").texts(),
    position: { traffic: reader.at("position").at("traffic").texts() },
  };
}

function countsOf(reader: JsonReader): RadiusCounts {
  const [controlled, reached, further] = [
    reader.at("controlled").count(),
    reader.at("reached").count(),
    reader.at("further").count(),
  ];
  return { controlled, reached, further };
}

function gainOf(entry: JsonReader): GainStep {
  return {
    kind: entry.at("kind").oneOf(["gains"]),
    from: entry.at("from").text(),
    to: entry.at("to").text(),
    why: entry.at("why").text(),
    places: entry.at("places").texts(),
  };
}

function reachOf(entry: JsonReader): ReachStep {
  const witness = entry.at("witness");
  return {
    kind: entry.at("kind").oneOf(["reaches"]),
    hop: entry.at("hop").count(),
    from: entry.at("from").textOrNull(),
    as: entry.at("as").textOrNull(),
    to: entry.at("to").text(),
    identity: entry.at("identity").text(),
    port: entry.at("port").count(),
    way: entry.at("way").oneOf(["direct", "hbone", "clear", "waypoint"]),
    why: entry.at("why").text(),
    // It is shown, and never asked.
    ...(witness.isAbsent ? {} : { witness: witness.object() as unknown as AccessRequest }),
    confirmed: entry.at("confirmed").oneOf(["yes", "unknown"]),
  };
}
