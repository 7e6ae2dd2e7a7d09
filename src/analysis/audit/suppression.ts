/**
 * Findings that the owner of a resource has accepted, for a reason and until a day:
 *
 *     metadata:
 *       annotations:
 *         bulwark.dev/suppress: "BW0128 until 2027-01-31: the partner's certificate changes in January"
 *
 * One a line. What has no end, no reason or is past its end suppresses nothing, and is a finding itself (BW0002).
 */
import type { Resource } from "../../resources/resource.ts";

export const SUPPRESS_ANNOTATION = "bulwark.dev/suppress";
/** Of `istioctl analyze`: codes, or `*`. It knows no reason and no end, so that it holds for rules with an Istio code alone. */
export const ISTIO_SUPPRESS_ANNOTATION = "galley.istio.io/analyze-suppress";

export interface Suppression {
  readonly rule: string;
  /** The last day that it holds on, `2027-01-31` (UTC). */
  readonly until: string;
  readonly reason: string;
}

export interface SuppressionProblem {
  readonly line: string;
  readonly problem: string;
}

export interface Suppressions {
  readonly held: readonly Suppression[];
  readonly problems: readonly SuppressionProblem[];
}

const ENTRY = /^(BW\d{4}) until (\d{4}-\d{2}-\d{2}): *(\S.*)$/;
const DAY_MS = 86_400_000;

/** @param now milliseconds since the epoch */
export function suppressionsOf({ annotations }: Resource, now: number): Suppressions {
  const held: Suppression[] = [];
  const problems: SuppressionProblem[] = [];
  const lines = (annotations[SUPPRESS_ANNOTATION] ?? "").split("\n").map((line) => line.trim());
  for (const line of lines.filter((line) => line !== "")) {
    const read = readEntry(line, now);
    if (typeof read === "string") problems.push({ line, problem: read });
    else held.push(read);
  }
  return { held, problems };
}

/** The suppression, or what is wrong with it. */
function readEntry(line: string, now: number): Suppression | string {
  const [, rule, until, reason] = ENTRY.exec(line) ?? [];
  if (rule === undefined || until === undefined || reason === undefined)
    return "is not written as `BW0128 until 2027-01-31: why it is accepted`";
  const day = Date.parse(until);
  // `2027-02-31` is read as a day of March by some, and by Date as none or another.
  if (Number.isNaN(day) || new Date(day).toISOString().slice(0, 10) !== until)
    return `\`${until}\` is no day`;
  if (now >= day + DAY_MS) return `ended on ${until}`;
  return { rule, until, reason };
}

/** Whether Istio's own annotation speaks of the code. */
export function isSuppressedForIstio({ annotations }: Resource, code: string): boolean {
  const codes = (annotations[ISTIO_SUPPRESS_ANNOTATION] ?? "").split(",").map((one) => one.trim());
  return codes.includes("*") || codes.includes(code);
}
