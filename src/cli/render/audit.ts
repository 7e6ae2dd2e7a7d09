/** What an audit found, for a person, a program and a pull request. */
import { FINDING_SEVERITIES, type Finding, type FindingSeverity } from "../../analysis/audit/finding.ts";
import type { SuppressedFinding } from "../../analysis/audit/run-rules.ts";
import type { AdvisoriesUsed } from "../trust/trust-options.ts";
import { markdownText, warningMarkdown } from "./markdown.ts";
import { plain, style } from "./style.ts";

export interface AuditReport {
  readonly findings: readonly Finding[];
  readonly suppressed: readonly SuppressedFinding[];
  /** How many rules were asked. */
  readonly rules: number;
  readonly advisories: AdvisoriesUsed;
}

const COLOURS = {
  critical: ["bold", "red"],
  high: "red",
  medium: "yellow",
  low: "blue",
  info: "gray",
} as const satisfies Record<FindingSeverity, Parameters<typeof style>[0]>;

/** A rule's words are said once, and below them every place. */
export function auditText(report: AuditReport): string {
  const groups = [
    ...Map.groupBy(report.findings, ({ rule, severity, why, fix }) =>
      [severity, rule, why, fix].join("\n"),
    ).values(),
  ];
  return `${[...groups.flatMap(linesOfGroup), ...suppressedLines(report), summaryOf(report), ...warningLines(report)].join("\n")}\n`;
}

function linesOfGroup(findings: readonly Finding[]): readonly string[] {
  const [first] = findings;
  if (first === undefined) return [];
  const { severity, rule, why, fix, attacks, controls } = first;
  return [
    `${style(COLOURS[severity], severity.toUpperCase().padEnd(8))}  ${rule}${alsoKnownAs(first)}`,
    ...findings.flatMap(linesOf),
    `    why: ${plain(why)}`,
    `    fix: ${plain(fix)}${findings.some(({ patch }) => patch !== undefined) ? " (--fix does it)" : ""}`,
    ...(attacks.length === 0 ? [] : [`    attacks: ${attacks.join(", ")}`]),
    ...(controls.length === 0 ? [] : [`    controls: ${controls.join(", ")}`]),
    "",
  ];
}

function linesOf(finding: Finding): readonly string[] {
  const { title, resource, witness } = finding;
  return [
    `  ${placeOf(finding)}${resource}: ${plain(title)}`,
    ...(witness === null ? [] : [`    for example: ${JSON.stringify(witness)}`]),
  ].map(plain);
}

export function placeOf({ file, line, column }: Finding): string {
  return file === undefined ? "" : `${file}:${line}:${column}: `;
}

/** `(IST0128, KIA0201)` */
export function alsoKnownAs({ istio, kiali, snowcat }: Finding): string {
  const others = [istio, kiali, snowcat].filter((one) => one !== undefined);
  return others.length === 0 ? "" : ` (${others.join(", ")})`;
}

function suppressedLines({ suppressed }: AuditReport): readonly string[] {
  return suppressed.map(({ finding, reason, until }) =>
    plain(
      `accepted${until === undefined ? "" : ` until ${until}`}: ${finding.rule} ${finding.resource}: ${finding.title} (${reason})`,
    ),
  );
}

function warningLines({ advisories: { warning } }: AuditReport): readonly string[] {
  return warning === undefined ? [] : [style("yellow", plain(`warning: ${warning}`))];
}

export function summaryOf({ findings, suppressed, rules, advisories }: AuditReport): string {
  const counts = FINDING_SEVERITIES.flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return count === 0 ? [] : [`${count} ${severity}`];
  });
  const many = findings.length === 1 ? "1 finding" : `${findings.length} findings`;
  const accepted = suppressed.length === 0 ? "" : `; ${suppressed.length} accepted`;
  return `${findings.length === 0 ? "nothing found" : `${many}: ${counts.join(", ")}`}${accepted}; ${rules} ${rules === 1 ? "rule" : "rules"}; ${saidOf(advisories)}`;
}

/** Characters that are rendered at once. */
const PIECE_CHARACTERS = 65_536;

/** As `JSON.stringify(report, null, 2)`, in pieces: in one, a report of a large mesh stands in memory as a whole, twice. */
export function* auditJson({ findings, suppressed, rules, advisories }: AuditReport): Generator<string> {
  let piece = '{\n  "findings": [';
  for (const [at, finding] of findings.entries()) {
    // No break stands inside a JSON string: each is one of the layout.
    const text = JSON.stringify(finding, null, 2).replaceAll("\n", "\n    ");
    piece += `${at === 0 ? "" : ","}\n    ${text}`;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = "";
  }
  const rest = JSON.stringify({ suppressed, rules, advisories }, null, 2).slice(1);
  yield `${piece}${findings.length === 0 ? "" : "\n  "}],${rest}\n`;
}

/** `advisories of 2026-08-05 (109 days old: STALE)` */
function saidOf({ date, ageDays, isStale }: AdvisoriesUsed): string {
  return `advisories of ${date} (${ageDays} days old${isStale ? ": STALE, see BW0712" : ""})`;
}

/** For a comment on a pull request: the gravest first, each rule once. */
export function auditMarkdown(report: AuditReport): string {
  const sections = FINDING_SEVERITIES.flatMap((severity) => {
    const findings = report.findings.filter((finding) => finding.severity === severity);
    if (findings.length === 0) return [];
    const items = [
      ...Map.groupBy(findings, ({ rule, why, fix }) => [rule, why, fix].join("\n")).values(),
    ].map(itemOf);
    return [`### ${severity[0]?.toUpperCase()}${severity.slice(1)}`, items.join("\n")];
  });
  const warnings = warningMarkdown(report.advisories.warning);
  return `${["## Audit", ...warnings, ...sections, markdownText(summaryOf(report))].join("\n\n")}\n`;
}

function itemOf(findings: readonly Finding[]): string {
  const [first] = findings;
  if (first === undefined) return "";
  return [
    `- **${first.rule}**${alsoKnownAs(first)}: ${markdownText(first.why)}`,
    ...findings.map(
      (finding) => `  - \`${placeOf(finding)}${finding.resource}\`: ${markdownText(finding.title)}`,
    ),
    `  - *Mend it:* ${markdownText(first.fix)}`,
    ...(first.attacks.length === 0 ? [] : [`  - *Attacks:* ${first.attacks.join(", ")}`]),
    ...(first.controls.length === 0 ? [] : [`  - *Controls:* ${markdownText(first.controls.join(", "))}`]),
  ].join("\n");
}
