/** A compliance report for a person, a program, a pull request, and for paper. */
import type { ComplianceReport, JudgedClaim, JudgedControl } from "../../analysis/compliance/report.ts";
import type { AdvisoriesUsed } from "../trust/trust-options.ts";
import { html, htmlPage, warningHtml } from "./html-page.ts";
import { markdownText, warningMarkdown } from "./markdown.ts";
import { plain, style } from "./style.ts";

export interface DatedReport extends ComplianceReport {
  /** RFC 3339. */
  readonly time: string;
  readonly files: readonly string[];
  readonly advisories: Pick<AdvisoriesUsed, "date" | "isStale" | "warning">;
}

const MARKS = {
  pass: { word: "pass", format: "green" },
  fail: { word: "FAIL", format: "red" },
  "not shown": { word: "not shown", format: "yellow" },
} as const;

export function countsOf({ controls }: ComplianceReport): string {
  const of = (status: JudgedControl["status"]): number =>
    controls.filter((control) => control.status === status).length;
  return `${controls.length} controls: ${of("pass")} pass, ${of("fail")} fail, ${of("not shown")} not shown`;
}

export function complianceText(report: DatedReport): string {
  const lines = report.controls.flatMap(({ id, title, status, claims, beyond, isWhole }) => [
    `${style(MARKS[status].format, MARKS[status].word.padEnd(9))}  ${id}  ${title}`,
    ...claims.flatMap(claimLines).map((line) => `           ${plain(line)}`),
    `           ${isWhole ? "files cannot show" : "not shown by any files, and needed for a pass"}: ${beyond}`,
  ]);
  const { warning } = report.advisories;
  const warnings = warning === undefined ? [] : [style("yellow", plain(`warning: ${warning}`))];
  return `${[report.title, report.scope, "", ...lines, "", `${countsOf(report)}; advisories of ${advisoriesOf(report)}`, ...warnings].join("\n")}\n`;
}

function claimLines({ statement, status, evidence }: JudgedClaim): readonly string[] {
  return [`${status}: ${statement}`, ...evidence.map((line) => `  ${line}`)];
}

function advisoriesOf({ advisories: { date, isStale } }: DatedReport): string {
  return `${date}${isStale ? " (STALE)" : ""}`;
}

export function complianceJson(report: DatedReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

export function complianceMarkdown(report: DatedReport): string {
  const rows = report.controls.map((control) => {
    const { id, title, status, claims } = control;
    const evidence = claims
      .map((claim) =>
        markdownText(
          claimLines(claim)
            .map((line) => line.trim())
            .join("; "),
        ),
      )
      .join("<br>");
    return `| ${markdownText(id)} | ${markdownText(title)} | ${MARKS[status].word} | ${evidence} | ${markdownText(beyondOf(control))} |`;
  });
  return [
    `# ${markdownText(report.title)}`,
    markdownText(report.scope),
    ...warningMarkdown(report.advisories.warning),
    `${report.time}; advisories of ${advisoriesOf(report)}; ${countsOf(report)}`,
    ["| control | | | evidence | files cannot show |", "|---|---|---|---|---|", ...rows].join("\n"),
  ]
    .join("\n\n")
    .concat("\n");
}

/** One file that needs no other, and prints without colours being all that tells. */
export function complianceHtml(report: DatedReport): string {
  const rows = report.controls.map(
    ({ id, title, status, claims, beyond, isWhole }) => `<tr class="${status.replace(" ", "-")}">
<th scope="row">${html(id)}</th>
<td>${html(title)}</td>
<td class="status">${MARKS[status].word}</td>
<td>${claims.map(claimHtml).join("")}</td>
<td>${html(beyondOf({ beyond, isWhole }))}</td>
</tr>`,
  );
  const body = `<p>${html(report.scope)}</p>
<p class="counts">${html(countsOf(report))}</p>
<p>Made by Bulwark at <time datetime="${html(report.time)}">${html(report.time)}</time> of ${html(report.files.join(", "))}; advisories of ${html(advisoriesOf(report))}.</p>
${warningHtml(report.advisories.warning)}
<table>
<thead><tr><th scope="col">Control</th><th scope="col">What it asks</th><th scope="col">Status</th><th scope="col">Evidence</th><th scope="col">What files cannot show</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>`;
  return htmlPage(report.title, body, CSS);
}

function beyondOf({ beyond, isWhole }: Pick<JudgedControl, "beyond" | "isWhole">): string {
  return isWhole ? beyond : `${beyond} (needed for a pass)`;
}

function claimHtml({ statement, status, evidence }: JudgedClaim): string {
  const items = evidence.map((line) => `<li>${html(line)}</li>`).join("");
  return `<p><b>${status}:</b> ${html(statement)}</p>${items === "" ? "" : `<ul>${items}</ul>`}`;
}

const CSS = `
th[scope=row] { white-space: nowrap; }
.status { font-weight: 700; white-space: nowrap; }
.pass .status { color: var(--good); }
.fail .status { color: var(--bad); }
.not-shown .status { color: var(--doubt); }
`;
