/** What compromises cost, for a person, a program, a pull request and a drawing. */
import type { Cut, CutStep } from "../../analysis/blast/cut/propose-cut.ts";
import type { BlastOverview } from "../../analysis/blast/overview.ts";
import type { BlastReport, GainStep, ReachStep } from "../../analysis/blast/report.ts";
import { scoreText } from "../../analysis/blast/score.ts";
import { type BlastAnswer, type BlastDocument, blastJson } from "../blast/blast-document.ts";
import { comparisonMarkdown, comparisonText } from "./blast-comparison.ts";
import { blastGraph } from "./blast-graph.ts";
import { exampleLines, gainText, reachText } from "./blast-steps.ts";
import { dotOf } from "./graph/graph-dot.ts";
import { mermaidOf } from "./graph/graph-mermaid.ts";
import { svgOf } from "./graph/graph-svg.ts";
import { markdownTable, markdownText } from "./markdown.ts";
import { plain, style } from "./style.ts";
import { table } from "./table.ts";

const GRAPHS = { dot: dotOf, mermaid: mermaidOf, svg: svgOf };
type GraphFormat = keyof typeof GRAPHS;

export const BLAST_FORMATS = ["text", "json", "markdown", "dot", "mermaid", "svg"] as const;
export type BlastFormat = (typeof BLAST_FORMATS)[number];

/** Of one component alone: an overview has no gains and reaches to draw. */
export function isGraphFormat(format: BlastFormat): format is GraphFormat {
  return Object.hasOwn(GRAPHS, format);
}

const SHOWN_COMPONENTS = 40;
const SHOWN_STEPS = 12;
const SHOWN_NAMES = 6;

export function renderBlast(document: BlastDocument, format: BlastFormat): string {
  const { answers } = document;
  switch (format) {
    case "json":
      return blastJson(document);
    case "dot":
    case "mermaid":
    case "svg":
      return graphText(answers, format);
    case "text":
      return (
        answers.map((answer) => [heading(answer), textOf(answer)].join("")).join("\n") +
        differenceText(answers)
      );
    case "markdown":
      return `## What a compromise costs\n\n${answers.map((answer) => markdownOf(answer)).join("\n\n")}\n`;
  }
}

function graphText([answer]: readonly BlastAnswer[], format: GraphFormat): string {
  if (answer?.report === undefined) throw new Error("BUG: a graph of no component");
  return [...GRAPHS[format](blastGraph(answer.report))].join("");
}

function heading({ mode }: BlastAnswer): string {
  if (mode === undefined) return "";
  return `${style("bold", mode === "sidecar" ? "Behind sidecars" : "In ambient mode")}\n`;
}

function textOf({ overview, report, cut, comparison }: BlastAnswer): string {
  return [
    ...(overview === undefined ? [] : [overviewText(overview)]),
    ...(report === undefined ? [] : [reportText(report)]),
    ...(cut === undefined ? [] : [cutText(cut)]),
    ...(comparison === undefined ? [] : [comparisonText(comparison)]),
  ].join("\n");
}

function cutText({ before, steps }: Cut): string {
  if (steps.length === 0) return `${style("bold", "cut")}\n  no change that is known shrinks it\n`;
  const lines = steps.flatMap((step, at) => [
    `  ${at + 1}. ${stepText(step)}`,
    ...step.changes.flatMap(({ title, takes }) => [`     ${plain(title)}`, `       takes: ${plain(takes)}`]),
  ]);
  return [style("bold", `cut: from score ${scoreText(before.score)}, step by step`), ...lines, ""].join("\n");
}

function stepText({ score, counts, weight }: CutStep): string {
  return `score ${scoreText(score)} (controls ${counts.controlled}, reaches ${counts.reached}, further ${counts.further}), at a cost of ${weight}`;
}

const HEAD = ["COMPONENT", "SCORE", "CONTROLS", "REACHES", "FURTHER"];

function rowsOf({ components }: BlastOverview, most: number): readonly (readonly string[])[] {
  return components
    .slice(0, most)
    .map(({ component, score, controlled, reached, further }) => [
      component,
      scoreText(score),
      String(controlled),
      String(reached),
      String(further),
    ]);
}

function overviewText(overview: BlastOverview): string {
  const { components, meshScore, workloads, notAnalysed } = overview;
  const more = components.length - SHOWN_COMPONENTS;
  return [
    table(HEAD, rowsOf(overview, SHOWN_COMPONENTS)),
    ...(more > 0 ? [`and ${more} more (--format json has all)\n`] : []),
    `\nscore of the mesh: ${scoreText(meshScore)} of 100, the mean of its workloads, over ${workloads} workloads\n`,
    ...notAnalysed
      .map(({ workload, why }) => plain(`not analysed: ${workload}: ${why}; it counts as open`))
      .map((line) => `${line}\n`),
  ].join("");
}

function names(all: readonly string[]): string {
  if (all.length === 0) return "none";
  const shown = all.slice(0, SHOWN_NAMES).join(", ");
  return all.length > SHOWN_NAMES ? `${shown} and ${all.length - SHOWN_NAMES} more` : shown;
}

/** The cells of a report's table: what is gained, by kind. */
export function factLines(report: BlastReport): readonly (readonly [title: string, text: string])[] {
  const { gained, position, mayAskFor, also, externalHosts, controls } = report;
  const of = (...kinds: readonly string[]): readonly string[] =>
    kinds.flatMap((kind) => (gained[kind] ?? []).map((name) => (name === kind ? kind : name)));
  const kinds: readonly (readonly [string, readonly string[]])[] = [
    ["keys", of("key")],
    ["tokens", of("token")],
    ["Secrets", of("secret", "secrets")],
    ["nodes", of("node")],
    ["CA, cluster", of("ca", "istiod", "apiserver")],
    ["may loosen", of("policies", "network-policies", "proxies", "labels")],
    ["steers", of("traffic")],
  ];
  return [
    ...kinds.flatMap(([title, list]) =>
      list.length === 0 && title !== "keys" && title !== "tokens" ? [] : [[title, names(list)] as const],
    ),
    [
      "network",
      position.traffic.length === 0 ? position.text : `${position.text}: ${names(position.traffic)}`,
    ],
    ["CA signs", mayAskFor === "all" ? "any identity" : names(mayAskFor)],
    ["controls", names(controls)],
    ...(externalHosts.length === 0 ? [] : [["hosts outside", names(externalHosts)] as const]),
    ...also.map((text) => ["also", text] as const),
  ];
}

function reportText(report: BlastReport): string {
  const { component, score, counts, workloads, gains, reaches, further } = report;
  const lines = factLines(report).map(([title, text]) => `  ${title.padEnd(13)} ${plain(text)}`);
  return [
    `${style("bold", plain(component))}  score ${scoreText(score)} of 100 (controls ${counts.controlled}, reaches ${counts.reached}, further ${counts.further} of ${workloads} workloads)`,
    ...lines,
    ...section("gains, with the reason", gains, gainLines),
    ...section("reaches: what it holds is let through to", reaches, reachLines),
    ...section("further, if each of those is compromised in turn", further, reachLines),
    "",
  ].join("\n");
}

function section<T>(
  title: string,
  steps: readonly T[],
  lines: (step: T) => readonly string[],
): readonly string[] {
  if (steps.length === 0) return [];
  const more = steps.length - SHOWN_STEPS;
  return [
    "",
    style("bold", title),
    ...steps.slice(0, SHOWN_STEPS).flatMap(lines).map(plain),
    ...(more > 0 ? [`  and ${more} more (--format json has all)`] : []),
  ];
}

function gainLines(step: GainStep): readonly string[] {
  return [`  ${gainText(step)}`, ...step.places.map((place) => `      ${place}`)];
}

function reachLines(step: ReachStep): readonly string[] {
  const { hop, why } = step;
  return [
    `  ${hop > 1 ? `hop ${hop}: ` : ""}${reachText(step)}: ${why}`,
    ...exampleLines(step).map((line) => `      ${line}`),
  ];
}

function differenceText(answers: readonly BlastAnswer[]): string {
  const [first, second] = answers;
  if (first === undefined || second === undefined) return "";
  if (first.report !== undefined && second.report !== undefined)
    return reportDifference(first.report, second.report);
  const scores = answers.map(({ mode, overview }) => `${mode} ${scoreText(overview?.meshScore ?? 0)}`);
  return `\nscore of the mesh: ${scores.join(", ")}\n`;
}

/** What one mode yields or reaches, and the other does not. */
function reportDifference(sidecar: BlastReport, ambient: BlastReport): string {
  const kinds = [...new Set([...Object.keys(sidecar.gained), ...Object.keys(ambient.gained)])];
  const lists: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ...kinds.map((kind) => [kind, sidecar.gained[kind] ?? [], ambient.gained[kind] ?? []] as const),
    ["controls", sidecar.controls, ambient.controls],
    ["reaches", targetsOf(sidecar.reaches), targetsOf(ambient.reaches)],
    ["further", targetsOf(sidecar.further), targetsOf(ambient.further)],
  ];
  const lines = lists.flatMap(([what, left, right]) => [
    ...onlyIn(what, "behind sidecars", left, right),
    ...onlyIn(what, "in ambient mode", right, left),
  ]);
  const head = `what differs: score ${scoreText(sidecar.score)} behind sidecars, ${scoreText(ambient.score)} in ambient mode`;
  return `\n${[style("bold", head), ...lines.map(plain)].join("\n")}\n`;
}

function targetsOf(steps: readonly ReachStep[]): readonly string[] {
  return steps.map(({ to }) => to);
}

function onlyIn(
  what: string,
  mode: string,
  own: readonly string[],
  other: readonly string[],
): readonly string[] {
  const only = own.filter((name) => !other.includes(name));
  return only.length === 0 ? [] : [`  ${what}, only ${mode}: ${names(only)}`];
}

function markdownOf({ mode, overview, report, cut, comparison }: BlastAnswer): string {
  const title =
    mode === undefined ? [] : [`### ${mode === "sidecar" ? "Behind sidecars" : "In ambient mode"}`];
  return [
    ...title,
    // What has changed is what a pull request is about.
    ...(comparison === undefined ? [] : [comparisonMarkdown(comparison)]),
    ...(overview === undefined
      ? []
      : [
          markdownTable(HEAD, rowsOf(overview, SHOWN_COMPONENTS)),
          `Score of the mesh: ${scoreText(overview.meshScore)} of 100.`,
        ]),
    ...(report === undefined ? [] : [markdownReport(report)]),
    ...(cut === undefined ? [] : [markdownCut(cut)]),
  ].join("\n\n");
}

function markdownCut({ steps }: Cut): string {
  const rows = steps.map((step) => [step.changes.map(({ title }) => title).join("; "), stepText(step)]);
  return rows.length === 0 ? "No change that is known shrinks it." : markdownTable(["change", "then"], rows);
}

function markdownReport(report: BlastReport): string {
  const { component, score, reaches, further } = report;
  const steps = [...reaches, ...further].slice(0, SHOWN_COMPONENTS);
  return [
    `### ${markdownText(component)}: score ${scoreText(score)}`,
    markdownTable(["", ""], factLines(report)),
    markdownTable(
      ["hop", "reached", "why"],
      steps.map((step) => [String(step.hop), reachText(step), step.why]),
    ),
  ].join("\n\n");
}
