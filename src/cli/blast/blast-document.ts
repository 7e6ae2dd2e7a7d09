/** What `blast --format json` prints, and reads again as `--baseline`. */
import type { Cut } from "../../analysis/blast/cut/propose-cut.ts";
import type { Mode } from "../../analysis/blast/modes.ts";
import type { BlastOverview } from "../../analysis/blast/overview.ts";
import type { BlastReport } from "../../analysis/blast/report.ts";
import type { BlastComparison } from "../../analysis/blast/watch/comparison.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { PROGRAM_VERSION } from "../program-version.ts";

export const BLAST_KIND = "bulwark blast";
/** Of the fields: a reader of this number understands all that has it. */
export const BLAST_SCHEMA = 1;

/** One of the two: of the whole mesh, or of one component. */
export interface BlastAnswer {
  readonly mode?: Mode;
  readonly overview?: BlastOverview;
  readonly report?: BlastReport;
  readonly cut?: Cut;
  /** With an earlier answer. */
  readonly comparison?: BlastComparison;
}

export interface BlastDocument {
  readonly answers: readonly BlastAnswer[];
  readonly semantics: Semantics;
  /** Why what was computed may not be all: what counts as open though nobody knows, what no file says. */
  readonly unclear: readonly string[];
}

export function blastJson({ answers, semantics, unclear }: BlastDocument): string {
  const head = { kind: BLAST_KIND, schema: BLAST_SCHEMA, bulwark: PROGRAM_VERSION, semantics, unclear };
  const body = answers.length === 1 ? answers[0] : { modes: answers };
  return `${JSON.stringify({ ...head, ...body }, null, 2)}\n`;
}
