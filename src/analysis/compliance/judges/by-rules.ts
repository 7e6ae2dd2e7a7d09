/** Claims that findings of the audit decide: of the rules that name the claim. */
import { type ClaimInput, findingLines, type Judge, judged, notShown } from "../claim.ts";

/** Silent rules show something only where there is what they look at. @param what is counted, for a person */
export function byRules(subjectsOf: (input: ClaimInput) => number, what: string): Judge {
  return (input) => {
    const { findings, rules } = input;
    const subjects = subjectsOf(input);
    return judged(
      subjects,
      findingLines(findings),
      `${subjects} ${what}, and nothing found by ${rules.join(", ")}`,
      `the files have no ${what}`,
    );
  };
}

/** Rules that see only a part of what the claim says: they can refute it, and never show it. @param beyond what they do not see */
export function againstByRules(beyond: string): Judge {
  return ({ findings, rules }) =>
    findings.length > 0
      ? { status: "refuted", evidence: findingLines(findings) }
      : notShown(`nothing found by ${rules.join(", ")}; ${beyond}`);
}
