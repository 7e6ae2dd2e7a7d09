/** What is proven and what is not, for a person, a program and a pull request. */
import type { Invariant } from "../../analysis/verify/invariant.ts";
import type {
  Finding,
  InvariantResult,
  MeshVerification,
  Witness,
} from "../../analysis/verify/verify-access.ts";
import { markdownText } from "./markdown.ts";
import { plain, style } from "./style.ts";

const SHOWN_NAMES = 5;
const SHOWN_FINDINGS = 5;

const CLAIMS = {
  never: "never let through",
  always: "always let through",
  only: "nothing else let through",
} as const;
const MARKS = {
  proven: { sign: "proven", format: "green" },
  violated: { sign: "VIOLATED", format: "red" },
  unclear: { sign: "NOT PROVEN", format: "yellow" },
} as const;

function names(all: readonly string[]): string {
  const shown = all.slice(0, SHOWN_NAMES).join(", ");
  return all.length > SHOWN_NAMES ? `${shown} and ${all.length - SHOWN_NAMES} more` : shown;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function placeOf({ span }: Invariant): string {
  return span === undefined ? "" : ` (${span.file}:${span.line})`;
}

function answerOf({ allowed, policy, rule, cause }: Witness): string {
  const by =
    policy === null
      ? `no policy decides (${cause})`
      : `${policy}${rule === null ? "" : `, rule ${rule}`} (${cause})`;
  return `${allowed ? "let through" : "refused"}: ${by}`;
}

function linesOf({ workloads, why, witness }: Finding): readonly string[] {
  return [
    `${workloads.length === 0 ? "" : `${names(workloads)}: `}${why}`,
    ...(witness === undefined
      ? []
      : [`  ${answerOf(witness)}`, `  for example: ${JSON.stringify(witness.request)}`]),
  ];
}

function notesOf({ proven, vacuous, findings, outcome }: InvariantResult): readonly string[] {
  const more = findings.length - SHOWN_FINDINGS;
  return [
    ...findings.slice(0, SHOWN_FINDINGS).flatMap(linesOf),
    ...(more > 0 ? [`and ${count(more, "finding")} more (--format json has all)`] : []),
    ...(outcome !== "proven" && proven.length > 0 ? [`proven for ${count(proven.length, "workload")}`] : []),
    ...(vacuous.length > 0 ? [`note: no request can match its rules at ${names(vacuous)}`] : []),
  ];
}

function headOf({ invariant, outcome, proven }: InvariantResult): string {
  const many = outcome === "proven" ? ` for ${count(proven.length, "workload")}` : "";
  return `${invariant.name}${placeOf(invariant)}, ${CLAIMS[invariant.claim]}${many}`;
}

function summaryOf({ results, workloads, classes }: MeshVerification): string {
  const of = (outcome: InvariantResult["outcome"]): number =>
    results.filter((result) => result.outcome === outcome).length;
  const proofs = results.reduce((sum, { proven }) => sum + proven.length, 0);
  return [
    `${count(results.length, "invariant")}: ${of("proven")} proven, ${of("violated")} violated, ${of("unclear")} not proven`,
    `${count(proofs, "proof")}, each for one workload and all requests (${count(workloads, "workload")}, ${classes} with policies of their own)`,
  ].join("; ");
}

export function verifyText(verification: MeshVerification): string {
  const lines = verification.results.flatMap((result) => {
    const { sign, format } = MARKS[result.outcome];
    return [
      `${style(format, sign.padEnd(10))}  ${plain(headOf(result))}`,
      ...notesOf(result).map((note) => `            ${plain(note)}`),
    ];
  });
  return `${[...lines, "", summaryOf(verification)].join("\n")}\n`;
}

export function verifyJson({ results, ...counts }: MeshVerification): string {
  const told = results.map(({ invariant: { name, claim, span }, ...rest }) => ({
    invariant: name,
    claim,
    ...(span === undefined ? {} : { span }),
    ...rest,
  }));
  return `${JSON.stringify({ ...counts, results: told }, null, 2)}\n`;
}

/** For a comment on a pull request: what does not hold before all else. */
export function verifyMarkdown(verification: MeshVerification): string {
  const of = (...outcomes: readonly InvariantResult["outcome"][]): readonly InvariantResult[] =>
    verification.results.filter(({ outcome }) => outcomes.includes(outcome));
  const sections = [
    "## What this mesh guarantees",
    ...section("Violated", of("violated")),
    ...section("Not proven", of("unclear")),
    ...section("Proven", of("proven")),
    markdownText(summaryOf(verification)),
  ];
  return `${sections.join("\n\n")}\n`;
}

function section(title: string, results: readonly InvariantResult[]): readonly string[] {
  if (results.length === 0) return [];
  const items = results.map((result) =>
    [
      `- ${markdownText(headOf(result))}`,
      ...notesOf(result).map((note) => `  - ${itemOf(note.trim())}`),
    ].join("\n"),
  );
  return [`### ${title}`, items.join("\n")];
}

const EXAMPLE = "for example: ";

/** A request stays as it is, to be copied. */
function itemOf(note: string): string {
  if (!note.startsWith(EXAMPLE)) return markdownText(note);
  return `${EXAMPLE}\`${plain(note.slice(EXAMPLE.length)).replaceAll("`", "'")}\``;
}
