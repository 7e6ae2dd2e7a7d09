/**
 * Statements about a mesh that its files can show to be so, or not to be so. A control of a framework rests on some of them, and on what
 * no file can show: that is said, and never guessed.
 */
import type { AuditContext } from "../audit/audit-context.ts";
import type { Finding } from "../audit/finding.ts";
import type { MeshVerification } from "../verify/verify-access.ts";

/** `shown`: there is something that it is about, and for all of it it is so. `refuted`: for one at least it is not. */
export type ClaimStatus = "shown" | "refuted" | "not shown";

export interface ClaimEvidence {
  readonly status: ClaimStatus;
  /** Lines for a person: what was looked at, and what was found. */
  readonly evidence: readonly string[];
}

export interface ClaimInput {
  readonly audit: AuditContext;
  /** Of the rules that name the claim, whatever their weight; what is accepted by suppression is among them: a framework does not accept it. */
  readonly findings: readonly Finding[];
  /** Ids of the rules that name the claim. */
  readonly rules: readonly string[];
  /** Of the built-in invariants that claims ask for, by name. */
  readonly proofs: ReadonlyMap<string, MeshVerification>;
}

export type Judge = (input: ClaimInput) => ClaimEvidence;

export function notShown(...evidence: readonly string[]): ClaimEvidence {
  return { status: "not shown", evidence };
}

/** Refuted by what is wrong; shown where there is nothing wrong and something that could be. */
export function judged(
  subjects: number,
  wrong: readonly string[],
  good: string,
  none: string,
): ClaimEvidence {
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  return subjects === 0 ? notShown(none) : { status: "shown", evidence: [good] };
}

const SHOWN = 5;

/** As lines for a person, the first few of them. */
export function findingLines(findings: readonly Finding[]): readonly string[] {
  const lines = findings.map(({ rule, resource, title, file, line }) => {
    const place = file === undefined ? "" : ` (${file}:${line})`;
    return `${rule}: ${resource}: ${title}${place}`;
  });
  return shortened(lines);
}

export function shortened(lines: readonly string[]): readonly string[] {
  const more = lines.length - SHOWN;
  return more <= 0 ? lines : [...lines.slice(0, SHOWN), `and ${more} more`];
}
