import { AnalysisLimit } from "./analysis-limit.ts";

/**
 * The budget is used up: what was asked could be computed, with more memory and time than anybody wants to give. Budgets are counted in steps and
 * not in seconds, so that the same files are too complex, or not, on every machine.
 */
export class TooComplex extends AnalysisLimit {
  /** Of what there is too much: `paths`, `claims [groups]`; undefined where nobody can say. */
  readonly about: string | undefined;
  readonly reason: string;

  constructor(reason: string, about?: string, culprit?: string) {
    const where = about === undefined ? "" : ` (${about})`;
    super(`too complex: ${reason}${where}${culprit === undefined ? "" : `, mostly of ${culprit}`}`);
    this.reason = reason;
    this.about = about;
  }
}
