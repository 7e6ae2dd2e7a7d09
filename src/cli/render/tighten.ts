/** What is proposed, on what evidence, and what would be lost: for a person, a program and a pull request. */
import type { GrantedOperation } from "../../analysis/tighten/grants.ts";
import { manifestYaml } from "../../analysis/tighten/manifest.ts";
import type { PathPattern } from "../../analysis/tighten/path-patterns.ts";
import type { TightenedServer } from "../../analysis/tighten/propose.ts";
import type { RankedLoss, Risk, TightenReport } from "../../analysis/tighten/report.ts";
import type { MalformedLine } from "../flow-logs.ts";
import { plain, style } from "./style.ts";

const SHOWN = 10;
const SHOWN_NAMES = 5;

const RISKS: Readonly<Record<Risk, string>> = {
  unobserved: "some who could are in no record: what they need is not known",
  callers: "callers that were seen to ask for other things",
  "never-asked": "workloads that were active, and never asked",
  nobody: "nobody whom the files know",
};

export function tightenText(
  report: TightenReport,
  malformed: readonly MalformedLine[],
  out: string | undefined,
): string {
  const lines = [
    evidenceLine(report),
    "",
    ...report.servers.flatMap(serverLines),
    ...section("beside these policies", "yellow", besideLines(report)),
    ...section(
      "left as they are",
      "yellow",
      report.untouched.map(({ workloads, why }) => `${names(workloads)}: ${why}`),
    ),
    ...section("seen, not granted, and refused from then on", "red", unvouchedLines(report)),
    ...section(
      "in the logs as allowed, refused by today's files: not granted",
      "yellow",
      contradictionLines(report),
    ),
    ...section("what would be lost, by risk", "yellow", lossLines(report)),
    ...section("what the evidence cannot show", "yellow", report.holes),
    ...section(
      "malformed",
      "red",
      malformed.map(({ at, why }) => `${at}: ${why}`),
    ),
    ...replayLines(report),
    ...limited(wholeLines(report)).map((line) => style("red", plain(line))),
    closingLine(report, out),
  ];
  return `${lines.join("\n")}\n`;
}

function evidenceLine({ evidence }: TightenReport): string {
  const { records, granted, first, last } = evidence;
  const span =
    first === undefined || last === undefined ? "" : `, ${first.slice(0, 16)} to ${last.slice(0, 16)} UTC`;
  return style("bold", `${count(records)} records, ${count(granted)} of them evidence${span}`);
}

function serverLines({ workloads, policy, grants, proof }: TightenedServer): readonly string[] {
  const head = `${names(workloads)}  ${policy}`;
  return [
    style("bold", plain(head)),
    ...(grants.length === 0 ? ["    nobody"] : []),
    ...grants.flatMap(({ principals, operations, kept }) => [
      plain(`    ${names(principals)}`),
      ...operations.flatMap((operation) => operationLines(operation).map((line) => plain(`        ${line}`))),
      ...(Object.keys(kept.source).length === 0 && kept.when.length === 0
        ? []
        : [
            plain(
              `        with today's own conditions: ${JSON.stringify({ ...kept.source, ...(kept.when.length === 0 ? {} : { when: kept.when }) })}`,
            ),
          ]),
    ]),
    ...proofLines(workloads, proof).map((line) => plain(`    ${line}`)),
    "",
  ];
}

function proofLines(workloads: readonly string[], proof: TightenedServer["proof"]): readonly string[] {
  const proven = "proven no wider than today";
  if (proof.kind === "proven") return [proven];
  const others = workloads.filter((key) => !proof.workloads.includes(key));
  const unproven = `no wider by construction, not proven: ${proof.why}`;
  return others.length === 0
    ? [unproven]
    : [`${names(proof.workloads)}: ${unproven}`, `${names(others)}: ${proven}`];
}

function operationLines({ port, methods, paths, sni, requests }: GrantedOperation): readonly string[] {
  const asked = methods === null ? "connections" : methods.join(", ");
  const name = sni === null ? "" : ` for ${sni}`;
  if (paths === null) return [`${asked} to port ${port}${name}: ${count(requests)}`];
  return paths.map((path) => `${asked} ${path.pattern} at port ${port}: ${evidenceOf(path)}`);
}

function evidenceOf({ requests, seen }: PathPattern): string {
  const times = `${count(requests)} ${requests === 1 ? "request" : "requests"}`;
  if (seen === undefined) return times;
  const values = seen.values > MAX_COUNTED ? `more than ${MAX_COUNTED}` : String(seen.values);
  const what = seen.values === 1 ? "one value" : `${values} different values`;
  const more = seen.values > seen.samples.length ? ", …" : "";
  return `${times}, ${what}${seen.samples.length === 0 ? "" : `: ${seen.samples.join(", ")}${more}`}`;
}

/** As many as are kept apart. */
const MAX_COUNTED = 64;

function unvouchedLines({ unvouched }: TightenReport): readonly string[] {
  return limited(
    unvouched.map(
      ({ workload, caller, example, requests }) =>
        `${workload} by ${caller}: ${count(requests)}, such as ${example}`,
    ),
  );
}

/** Of the other kinds, which have no rules to be told one by one. */
function besideLines({ changes }: TightenReport): readonly string[] {
  const others = changes.filter(({ manifest }) => manifest.kind !== "AuthorizationPolicy");
  const byKind = Map.groupBy(others, ({ action, manifest: { kind } }) => `${action} ${kind}`);
  return [...byKind].flatMap(([what, all]) =>
    limited(
      all.map(({ manifest: { metadata }, why }) => `${what} ${metadata.namespace}/${metadata.name}: ${why}`),
    ),
  );
}

function contradictionLines({ contradictions }: TightenReport): readonly string[] {
  return limited(
    contradictions.map(
      ({ workload, example, requests }) => `${workload}: ${count(requests)}, such as ${example}`,
    ),
  );
}

function lossLines({ losses, servers }: TightenReport): readonly string[] {
  const isMore = ({ proof, isLostAll }: TightenedServer): boolean => proof.kind === "proven" && !isLostAll;
  const more = servers.filter(isMore).flatMap(({ workloads }) => workloads);
  return [...losses.map(lossLine), ...(more.length === 0 ? [] : [`${names(more)}: more than is told here`])];
}

function lossLine({ workloads, requests, callers, others, risk }: RankedLoss): string {
  const what =
    requests.length === 0 ? "everything" : requests.map(({ title, text }) => `${title} ${text}`).join("; ");
  const who = [
    ...(callers.length === 0 ? [] : [names(callers)]),
    ...(others === undefined ? [] : [others]),
  ].join(", or ");
  return `${names(workloads)} by ${who}: ${what} (${RISKS[risk]})`;
}

function replayLines({ replay }: TightenReport): readonly string[] {
  const { records, uncertain, decided, refused } = replay;
  const unsure =
    uncertain === 0
      ? ""
      : `; ${count(uncertain)} hang on tokens or headers that no record tells, whose conditions are unchanged`;
  const head = `asked again: ${count(records)} records, ${refused.length} refused${unsure}; ${count(decided)} different requests decided as \`can\` does`;
  return [
    style(refused.length === 0 ? "green" : "red", head),
    ...refused.map((request) => plain(`    refused: ${request}`)),
  ];
}

/** Said of several kinds of changes; each is proven alone as well. */
function wholeLines({ wider, notCompared }: TightenReport): readonly string[] {
  return [
    ...wider.map((one) => `all changes together would let through what is closed today: ${one}`),
    ...notCompared.map((one) => `of all changes together this could not be compared with today: ${one}`),
  ];
}

function closingLine({ changes, replay, wider }: TightenReport, out: string | undefined): string {
  if (wider.length > 0) return "nothing is written: the changes together are wider than what is there today";
  const what = `${changes.length} ${changes.length === 1 ? "resource" : "resources"}`;
  if (replay.refused.length > 0) return "nothing is written: what was seen would be refused";
  return out === undefined
    ? `${what} to change; nothing is written without --out FOLDER`
    : plain(`${what} written to ${out}`);
}

function section(title: string, colour: "red" | "yellow", lines: readonly string[]): readonly string[] {
  return lines.length === 0
    ? []
    : [style(colour, `${title}:`), ...lines.map((line) => plain(`    ${line}`)), ""];
}

function limited(lines: readonly string[]): readonly string[] {
  return lines.length > SHOWN ? [...lines.slice(0, SHOWN), `and ${lines.length - SHOWN} more`] : lines;
}

function names(all: readonly string[]): string {
  const shown = all.slice(0, SHOWN_NAMES).join(", ");
  return all.length > SHOWN_NAMES ? `${shown} and ${all.length - SHOWN_NAMES} more` : shown;
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}

export function tightenJson(report: TightenReport, malformed: readonly MalformedLine[]): string {
  return `${JSON.stringify({ ...report, malformed }, null, 2)}\n`;
}

/** For a pull request: what would be lost before what is kept. */
export function tightenMarkdown(
  report: TightenReport,
  malformed: readonly MalformedLine[],
  out: string | undefined,
): string {
  const list = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : [`### ${title}`, lines.map((line) => `- ${escaped(line)}`).join("\n")];
  const sections = [
    "## The access that the traffic needs",
    escaped(evidenceLine(report)),
    ...list("Seen, not granted, and refused from then on", unvouchedLines(report)),
    ...list("What would be lost, by risk", lossLines(report)),
    ...list("What the evidence cannot show", report.holes),
    ...list(
      "Left as they are",
      report.untouched.map(({ workloads, why }) => `${names(workloads)}: ${why}`),
    ),
    ...list("In the logs as allowed, refused by today's files", contradictionLines(report)),
    ...list(
      "Malformed",
      malformed.map(({ at, why }) => `${at}: ${why}`),
    ),
    "### Resources",
    ...report.changes.map(({ action, manifest, why }) =>
      [
        `**${action}**: ${escaped(why)}`,
        "",
        `\`\`\`yaml\n${manifestYaml(manifest).replaceAll("```", "")}\`\`\``,
      ].join("\n"),
    ),
    ...replayLines(report).map(escaped),
    ...wholeLines(report).map(escaped),
    escaped(closingLine(report, out)),
  ];
  return `${sections.join("\n\n")}\n`;
}

/** Names and patterns are text, whatever Markdown would make of them. */
function escaped(text: string): string {
  return plain(text).replace(/[\\`*_{}[\]<>|#]/g, "\\$&");
}
