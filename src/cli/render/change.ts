import type { ChangedResource, ConfigurationChange } from "../../control/configuration-change.ts";
import { plain, style } from "./style.ts";

/** So many resources are named of each sort on a terminal; `status --format json` has all. */
const NAMED = 30;

/** What a change did, by name: one line for each resource. */
export function changeLines(change: ConfigurationChange): readonly string[] {
  return [
    ...resourceLines("added", change.added),
    ...resourceLines("changed", change.changed),
    ...resourceLines("removed", change.removed),
    ...change.filesGone.map((file) => `  the file ${plain(file)} is gone, with all that it held`),
  ];
}

/** A warning where a change may let more pass; undefined where it does not. */
export function accessWarning(
  { accessGrowth }: ConfigurationChange,
  stream: NodeJS.WriteStream,
): string | undefined {
  if (accessGrowth.length === 0) return undefined;
  const lines = accessGrowth.map(
    ({ resource, why, workloads }) =>
      `\n  ${plain(resource)}: ${plain(why)}\n    workloads: ${plain(list(workloads))}`,
  );
  return `${style(["bold", "red"], "WARNING: access may have grown:", stream)}${lines.join("")}`;
}

function resourceLines(word: string, resources: readonly ChangedResource[]): readonly string[] {
  const lines = resources
    .slice(0, NAMED)
    .map(({ resource, file, line }) => `  ${word.padEnd(7)}  ${plain(resource)}${placeText(file, line)}`);
  const more = resources.length - lines.length;
  return more > 0 ? [...lines, `  ${word.padEnd(7)}  and ${more} more`] : lines;
}

function placeText(file: string | null, line: number): string {
  return file === null ? "" : plain(`  ${file}:${line}`);
}

function list(workloads: readonly string[]): string {
  const more = workloads.length - NAMED;
  return workloads.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
