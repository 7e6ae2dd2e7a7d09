import type { DrillReport, DrillStep } from "../../attack/drill/drill-report.ts";
import { plain, style } from "./style.ts";

/** A step as it ends, with its newline: mark, name, how long it took, and the time since the key was first used. */
export function renderStep({ step, ok, tookMs, sinceUseMs, happened }: DrillStep): string {
  const mark = ok ? style("green", "✔") : style("red", "✘");
  return `${mark} ${step.padEnd(7)}${seconds(tookMs)}  ${seconds(sinceUseMs)}  ${plain(happened)}\n`;
}

export const STEP_HEADING = `  STEP    TOOK      SINCE USE  WHAT HAPPENED\n`;

/** What it comes to. */
export function renderDrill({ workload, identity, serial, target, passed, leftBehind }: DrillReport): string {
  const verdict = passed
    ? style("green", "the drill passed: the leak was seen, stopped and mended")
    : style("red", "the drill FAILED: see the steps that are marked");
  const left = leftBehind.map((what) => `${style("red", "left behind:")} ${plain(what)}\n`).join("");
  return `${plain(`key of ${workload} (${identity}), certificate ${serial}, used for ${target}`)}\n${verdict}\n${left}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`.padStart(9);
}
