/** What has grown and shrunk since an earlier answer, for a person and for a pull request. */
import type { RadiusCounts } from "../../analysis/blast/radius.ts";
import { scoreText } from "../../analysis/blast/score.ts";
import type {
  BeforeAndNow,
  BlastComparison,
  ComponentChange,
  Difference,
  OverviewComparison,
  ReportComparison,
} from "../../analysis/blast/watch/comparison.ts";
import { exampleLines, gainText, reachText } from "./blast-steps.ts";
import { markdownTable, markdownText } from "./markdown.ts";
import { plain, style } from "./style.ts";
import { table } from "./table.ts";

/** More than this nobody reads in a log, or in a pull request. */
const SHOWN = 40;

export function comparisonText(comparison: BlastComparison): string {
  const lines = [style("bold", `since the baseline: ${titleOf(comparison)}`)];
  if (comparison.kind === "overview") {
    const rows = rowsOf(comparison);
    lines.push(rows.length === 0 ? NOTHING : table(HEAD, rows.slice(0, SHOWN)).trimEnd(), ...more(rows));
  } else {
    const all = differencesOf(comparison);
    if (all.length === 0) lines.push(NOTHING);
    for (const { sign, text, under } of all.slice(0, SHOWN))
      lines.push(`  ${sign} ${plain(text)}`, ...under.map((line) => `      ${plain(line)}`));
    lines.push(...more(all));
  }
  return `${[...lines, ...comparison.unclear.map((why) => plain(`cannot be told: ${why}`))].join("\n")}\n`;
}

export function comparisonMarkdown(comparison: BlastComparison): string {
  const parts = [`### Since the baseline: ${markdownText(titleOf(comparison))}`];
  if (comparison.kind === "overview") {
    const rows = rowsOf(comparison);
    parts.push(rows.length === 0 ? NOTHING : markdownTable(HEAD, rows.slice(0, SHOWN)), ...more(rows));
  } else {
    const all = differencesOf(comparison);
    const rows = all.slice(0, SHOWN).map(({ sign, text, under }) => [sign, text, under.join("; ")]);
    parts.push(
      rows.length === 0 ? NOTHING : markdownTable(["", "what", "places, or a request that shows it"], rows),
      ...more(all),
    );
  }
  return [...parts, ...comparison.unclear.map((why) => markdownText(`Cannot be told: ${why}`))].join("\n\n");
}

const NOTHING = "nothing has grown or shrunk";

function more(all: readonly unknown[]): readonly string[] {
  return all.length > SHOWN ? [`and ${all.length - SHOWN} more (--format json has all)`] : [];
}

function titleOf(comparison: BlastComparison): string {
  const { score, workloads } = comparison;
  const subject = comparison.kind === "overview" ? "score of the mesh" : `score of ${comparison.component}`;
  const counts = comparison.kind === "overview" ? "" : ` (${countsText(comparison.counts)})`;
  return `${subject} ${arrow(score, scoreText)}${counts}, over ${arrow(workloads, String)} workloads`;
}

function countsText({ before, now }: BeforeAndNow<RadiusCounts>): string {
  const of = (count: (counts: RadiusCounts) => number): string =>
    arrow({ before: count(before), now: count(now) }, String);
  return [
    `controls ${of(({ controlled }) => controlled)}`,
    `reaches ${of(({ reached }) => reached)}`,
    `further ${of(({ further }) => further)}`,
  ].join(", ");
}

/** Both, or the one that they are. */
function arrow<T>({ before, now }: BeforeAndNow<T>, text: (value: T) => string): string {
  const [was, is] = [text(before), text(now)];
  return was === is ? is : `${was} → ${is}`;
}

const HEAD = ["CHANGE", "COMPONENT", "SCORE", "CONTROLS", "REACHES", "FURTHER", "GAINS"];

function rowsOf({ components }: OverviewComparison): readonly (readonly string[])[] {
  return components.map(({ change, component, before, now }) => {
    const cell = (text: (side: NonNullable<ComponentChange["now"]>) => string): string => {
      const sides = [before, now].flatMap((side) => (side === null ? [] : [text(side)]));
      return [...new Set(sides)].join(" → ");
    };
    return [
      change,
      component,
      cell(({ score }) => scoreText(score)),
      cell(({ controlled }) => String(controlled)),
      cell(({ reached }) => String(reached)),
      cell(({ further }) => String(further)),
      cell(({ gains }) => (gains === null ? "all" : String(gains))),
    ];
  });
}

interface DifferenceLine {
  readonly sign: "+" | "-";
  readonly text: string;
  readonly under: readonly string[];
}

function differencesOf({ grown, shrunk }: ReportComparison): readonly DifferenceLine[] {
  const line = (sign: "+" | "-") => (difference: Difference) => ({ sign, ...differenceText(difference) });
  return [...grown.map(line("+")), ...shrunk.map(line("-"))];
}

const NAMED = { traffic: "sees the traffic of", signs: "the CA signs for it", hosts: "reaches outside" };

function differenceText(difference: Difference): Omit<DifferenceLine, "sign"> {
  switch (difference.what) {
    case "gains":
      return { text: `gains ${gainText(difference.step)}`, under: difference.step.places };
    case "workload": {
      const { name, hop, step } = difference;
      const isNearer = (hop.now ?? Number.POSITIVE_INFINITY) < (hop.before ?? Number.POSITIVE_INFINITY);
      const distance = `${hopText(hop.now)}, before ${hopText(hop.before)}${isNearer ? "" : ", as it was"}`;
      if (step === undefined) return { text: `${name}: ${distance}`, under: [] };
      return {
        text: `${name}: ${distance}: ${reachText(step)}: ${step.why}`,
        under: exampleLines(step),
      };
    }
    default:
      return { text: `${NAMED[difference.what]} ${difference.name}`, under: [] };
  }
}

function hopText(hop: number | null): string {
  if (hop === null) return "not reached";
  return hop === 0 ? "controlled" : `reached at hop ${hop}`;
}
