/** A question that needs more room than it is given. It is told, with its part, instead of hanging or guessing. */
export class AnalysisLimit extends Error {
  override readonly name = "AnalysisLimit";
  /** Which dimension was being divided, by its place in the order; -1 where none. */
  readonly dimension: number;

  constructor(message: string, dimension = -1) {
    super(message);
    this.dimension = dimension;
  }
}
