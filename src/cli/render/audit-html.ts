/** What an audit found as a page to read, to send on and to print: the gravest first, each rule's words once, every place below them. */
import { FINDING_SEVERITIES, type Finding, type FindingSeverity } from "../../analysis/audit/finding.ts";
import { type AuditReport, alsoKnownAs, placeOf, summaryOf } from "./audit.ts";
import { html, htmlPage, warningHtml } from "./html-page.ts";

export function auditHtml(report: AuditReport): string {
  const groups = FINDING_SEVERITIES.flatMap((severity) => {
    const findings = report.findings.filter((finding) => finding.severity === severity);
    return findings.length === 0 ? [] : [{ severity, findings }];
  });
  const links = groups.map(
    ({ severity, findings }) => `<li><a href="#${severity}">${findings.length} ${severity}</a></li>`,
  );
  const body = [
    `<p class="counts">${html(summaryOf(report))}</p>`,
    warningHtml(report.advisories.warning),
    ...(links.length === 0 ? [] : [`<nav aria-label="By severity"><ul>${links.join("")}</ul></nav>`]),
    "<main>",
    ...groups.map(({ severity, findings }) => sectionOf(severity, findings)),
    acceptedSection(report),
    "</main>",
  ];
  return htmlPage("Audit", body.join("\n"), CSS);
}

function sectionOf(severity: FindingSeverity, findings: readonly Finding[]): string {
  const rules = Map.groupBy(findings, ({ rule, why, fix }) => [rule, why, fix].join("\n"));
  return `<section class="${severity}" aria-labelledby="${severity}">
<h2 id="${severity}">${severity[0]?.toUpperCase()}${severity.slice(1)}</h2>
${[...rules.values()].map(ruleOf).join("\n")}
</section>`;
}

function ruleOf(findings: readonly Finding[]): string {
  const [first] = findings;
  if (first === undefined) return "";
  const { rule, why, fix, attacks, controls } = first;
  return `<article>
<h3>${html(rule)}${html(alsoKnownAs(first))}</h3>
<ul class="places">${findings.map(findingOf).join("")}</ul>
<dl>
<dt>Why</dt><dd>${html(why)}</dd>
<dt>Mend it</dt><dd>${html(fix)}</dd>
${listed("Attacks", attacks)}${listed("Controls", controls)}</dl>
</article>`;
}

/** A link to a finding holds as long as its place: the same rule, resource, line and column. */
function findingOf(finding: Finding): string {
  const { title, resource, witness, patch } = finding;
  const place = placeOf(finding).replace(/: $/, "");
  return `<li id="${idOf(finding)}"><a href="#${idOf(finding)}"><code>${html(place === "" ? resource : place)}</code></a> ${html(resource)}: ${html(title)}${
    witness === null ? "" : `<pre>${html(JSON.stringify(witness))}</pre>`
  }${patch === undefined ? "" : `<pre>${patch.split("\n").map(html).join("\n")}</pre>`}</li>`;
}

/** No blank, and nothing that a reader of the address would take for something else. */
function idOf({ rule, resource, file, line, column }: Finding): string {
  return encodeURIComponent([rule, resource, file, line, column].join("_")).replace(/['"%]/g, ".");
}

function listed(name: string, items: readonly string[]): string {
  return items.length === 0 ? "" : `<dt>${name}</dt><dd>${html(items.join(", "))}</dd>\n`;
}

function acceptedSection({ suppressed }: AuditReport): string {
  if (suppressed.length === 0) return "";
  const items = suppressed.map(({ finding, reason, until }) => {
    const end = until === undefined ? "" : ` until ${until}`;
    return `<li>${html(`${finding.rule} ${finding.resource}: ${finding.title} (${reason}${end})`)}</li>`;
  });
  return `<section aria-labelledby="accepted"><h2 id="accepted">Accepted</h2><ul>${items.join("")}</ul></section>`;
}

const CSS = `
nav ul { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0; }
h2 { border-bottom: 2px solid var(--line); }
h3 { margin-bottom: .3rem; break-after: avoid; }
.critical h2, .high h2 { color: var(--bad); }
.medium h2 { color: var(--doubt); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem .8rem; margin: .4rem 0; }
dt { font-weight: 700; }
dd { margin: 0; }
pre { white-space: pre-wrap; border: 1px solid var(--line); padding: .4rem; margin: .3rem 0; }
li:target { outline: 2px solid var(--link); }
@media print { li { break-inside: avoid; } }
`;
