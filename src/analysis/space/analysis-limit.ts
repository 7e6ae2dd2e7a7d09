/** A question that is not followed, or that needs more room than it is given. It is told, with its part, instead of hanging or guessing. */
export class AnalysisLimit extends Error {
  override readonly name = "AnalysisLimit";
}
