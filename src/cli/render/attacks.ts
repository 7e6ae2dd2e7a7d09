import type { AttackResult, Outcome } from "../../attack/attack.ts";
import { ATTACKS } from "../../attack/attack-registry.ts";
import type { AttackReport } from "../../attack/run-attacks.ts";
import { plain, style } from "./style.ts";

const MARKS: Readonly<
  Record<Outcome, { readonly mark: string; readonly format: Parameters<typeof style>[0] }>
> = {
  stopped: { mark: "✔ stopped", format: "green" },
  succeeded: { mark: "✘ SUCCEEDED", format: "red" },
  "allowed by configuration": { mark: "! allowed by configuration", format: "yellow" },
  "not possible here": { mark: "– not possible here", format: "dim" },
};

/** What everything came to, for a person. `brief`: an attack that was stopped in all its variants is one line. */
export function renderAttacks(report: AttackReport, options: { readonly brief: boolean }): string {
  const byAttack = Map.groupBy(report.results, ({ attack }) => attack);
  const parts = [...byAttack].map(([id, results]) => renderAttack(id, results, options.brief));
  return `${parts.join("")}\n${renderCounts(report)}\n`;
}

function renderAttack(id: string, results: readonly AttackResult[], brief: boolean): string {
  const attack = ATTACKS.find((candidate) => candidate.id === id);
  const title = `${(attack?.rows.join(", ") ?? id).padEnd(4)} ${attack?.title ?? ""}`;
  const stopped = results.filter(({ outcome }) => outcome === "stopped");
  const others = results.filter(({ outcome }) => outcome !== "stopped");
  const shown = brief ? [...oneLine(stopped), ...others] : results;
  return `\n${style("bold", plain(title))}\n${withoutRepeats(shown).map(renderResult).join("")}`;
}

/** What several lines find is said once. */
function withoutRepeats(results: readonly AttackResult[]): readonly AttackResult[] {
  const said = new Set<string>();
  return results.map((result) => {
    const { finding, fix, ...rest } = result;
    const words = `${finding} ${fix}`;
    if (finding === undefined || !said.has(words)) {
      said.add(words);
      return result;
    }
    return rest;
  });
}

/** All that was stopped as one line, told by its most usual stopper. */
function oneLine(stopped: readonly AttackResult[]): readonly AttackResult[] {
  const [first] = stopped;
  if (first === undefined) return [];
  const tries = stopped.reduce((sum, result) => sum + result.tries, 0);
  const notLogged = stopped.filter(({ logged }) => logged === false).length;
  const log = notLogged === 0 ? "" : `, ${notLogged} of them not in the flow log`;
  const layers = [
    ...new Set(stopped.map(({ stoppedBy }) => stoppedBy ?? "").filter((words) => words !== "")),
  ];
  const more = layers.length > 2 ? `; and ${layers.length - 2} more reasons` : "";
  return [
    {
      ...first,
      tried: `${stopped.length} attempts, ${tries} variants`,
      target: `${new Set(stopped.map(({ target }) => target)).size} targets`,
      from: "",
      happened: `none got through${log}`,
      stoppedBy: layers.slice(0, 2).join("; ") + more,
      logged: null,
      evidence: {},
    },
  ];
}

function renderResult(result: AttackResult): string {
  const { mark, format } = MARKS[result.outcome];
  const where = [result.from, result.target].filter((text) => text !== "").join(" → ");
  const lines = [
    `  ${style(format, mark)}  ${plain(result.tried)}${where === "" ? "" : style("dim", `  ${plain(where)}`)}`,
    ...details(result).map((line) => `      ${plain(line)}`),
  ];
  return `${lines.join("\n")}\n`;
}

function details(result: AttackResult): readonly string[] {
  const { outcome, happened, stoppedBy, promised, control, finding, fix } = result;
  const seen = evidenceLine(result);
  const because = stoppedBy === undefined || stoppedBy === "" ? "" : ` — ${stoppedBy}`;
  if (outcome === "stopped") return [`${happened}${because}${seen}`];
  return [
    `${happened}${seen}`,
    ...(outcome === "succeeded" ? [`promised: ${promised}`, `control: ${control}`] : []),
    ...(finding === undefined ? [] : [`finding: ${finding}`]),
    ...(fix === undefined ? [] : [`fix: ${fix}`]),
  ];
}

function evidenceLine({ evidence, logged, outcome }: AttackResult): string {
  const { flowRecord, certificateSerial } = evidence;
  const parts = [
    ...(flowRecord === undefined ? [] : [`record ${flowRecord}`]),
    ...(certificateSerial === undefined
      ? []
      : [`certificate ${certificateSerial.slice(0, 12).toLowerCase()}`]),
    ...(logged === false && outcome === "stopped" ? ["NOT in the flow log"] : []),
  ];
  return parts.length === 0 ? "" : `  [${parts.join(", ")}]`;
}

function renderCounts({ counts, skipped }: AttackReport): string {
  const words = (Object.keys(counts) as Outcome[])
    .filter((outcome) => counts[outcome] > 0 || outcome === "succeeded")
    .map((outcome) => {
      const { format } = MARKS[outcome];
      const hot = outcome !== "succeeded" || counts[outcome] > 0;
      return hot ? style(format, `${counts[outcome]} ${outcome}`) : `${counts[outcome]} ${outcome}`;
    });
  const left = skipped === 0 ? "" : `; ${skipped} skipped, the run was ended`;
  return `${words.join(", ")}${left}`;
}
