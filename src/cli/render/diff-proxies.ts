/** What changes at gateways and waypoints, for a person and a pull request. */
import { ITSELF } from "../../analysis/diff/client/ways.ts";
import type { ProxyChange } from "../../analysis/diff/proxies/proxy-changes.ts";
import { causeText, escaped, sayingsText } from "./diff-words.ts";
import { plain, style } from "./style.ts";

const HELD_BACK =
  "held back: what was tried of it is refused, before and after, by what lies before or behind, or nobody here could send it";

export function proxyLines(change: ProxyChange): readonly string[] {
  const isWider = change.change === "widened";
  return [
    style(isWider ? "red" : "green", plain(`${isWider ? "+" : "-"} ${headOf(change)}`)),
    ...weakeningsOf(change).map((weakening) => style("bold", `    ! ${weakening}`)),
    plain(`    ${requestText(change)}`),
    `    for example: ${JSON.stringify(change.witness)}`,
    ...(change.heldBack === true ? [`    ${HELD_BACK}`] : []),
    ...change.causes.map((cause) => plain(`    because ${causeText(cause)}`)),
    "",
  ];
}

export function proxyItem(change: ProxyChange): string {
  const weakens = weakeningsOf(change).map((weakening) => `**${weakening}.** `);
  return [
    `- ${weakens.join("")}${escaped(`${headOf(change)}; ${requestText(change)}`)}`,
    ...(change.heldBack === true ? [`  - ${HELD_BACK}`] : []),
    ...change.causes.map((cause) => `  - because ${escaped(causeText(cause))}`),
    `  - for example: \`${JSON.stringify(change.witness).replaceAll("`", "'")}\``,
  ].join("\n");
}

function weakeningsOf({ weakens, leaves }: ProxyChange): readonly string[] {
  return [...weakens, ...(leaves ? ["it leaves the mesh"] : [])];
}

function headOf({ change, role, name, gained, lost }: ProxyChange): string {
  const where = role === "gateway" ? `gateway ${name}` : `before ${name.split(" ")[1] ?? name} (waypoint)`;
  const named = (ways: readonly string[]): string =>
    ways.map((way) => (isItself(way) ? way.replace(ITSELF, "the service itself") : way)).join(", ");
  const parts = [
    ...(gained.length === 0 ? [] : [`is now sent to ${named(gained)}`]),
    ...(lost.length === 0 ? [] : [`is no longer sent to ${named(lost)}`]),
  ];
  const otherwise = change === "widened" ? "more is let through" : "less is let through";
  return `${where}: ${parts.length === 0 ? otherwise : parts.join("; ")}`;
}

function isItself(way: string): boolean {
  return way === ITSELF || way.startsWith(`${ITSELF}, `);
}

function requestText({ requests }: ProxyChange): string {
  return requests.length === 0 ? "every request, by anyone" : sayingsText(requests);
}
