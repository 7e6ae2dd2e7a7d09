/** What a change gives and takes, for a person, a program and a pull request. */
import type { ClientChange } from "../../analysis/diff/client/client-changes.ts";
import { ITSELF } from "../../analysis/diff/client/ways.ts";
import type { AccessChange } from "../../analysis/diff/diff-access.ts";
import type { WholeDiff } from "../../analysis/diff/diff-mesh.ts";
import type { NetworkChange } from "../../analysis/diff/network-changes.ts";
import { proxyItem, proxyLines } from "./diff-proxies.ts";
import { causeText, escaped, names, sayingsText } from "./diff-words.ts";
import { plain, style } from "./style.ts";

function requestText({ requests }: AccessChange): string {
  if (requests.length === 0) return "every request, by anyone";
  return sayingsText(requests);
}

const HELD_BACK = "held back: network policies let no workload that could send it connect";

function callersText({ callers }: AccessChange): string {
  return callers.length === 0 ? "no workload that is here now" : names(callers);
}

/** What weakens, and what lets out of the mesh, before all else; then what is wider. */
export function diffText(diff: WholeDiff): string {
  const blocks = [
    ...diff.changes.map((change) => ({ weight: weightOf(change), lines: accessLines(change) })),
    ...diff.clients.map((change) => ({ weight: weightOf(change), lines: clientLines(change) })),
    ...diff.proxies.map((change) => ({ weight: weightOf(change), lines: proxyLines(change) })),
    ...diff.network.map((change) => ({ weight: weightOf(change), lines: networkLines(change) })),
  ];
  const all = [
    ...blocks.toSorted((a, b) => a.weight - b.weight).flatMap(({ lines }) => lines),
    ...(isUnchanged(diff) ? [unchangedText(diff), ""] : []),
    ...noteLines(diff).map((line) => style("yellow", plain(line))),
  ];
  return `${all.join("\n").trimEnd()}\n`;
}

interface Weighed {
  readonly change: "widened" | "narrowed";
  readonly weakens?: readonly string[];
  readonly leaves?: boolean;
}

function weightOf({ change, weakens = [], leaves = false }: Weighed): number {
  if (change === "narrowed") return 3;
  if (weakens.length > 0) return 0;
  return leaves ? 1 : 2;
}

function accessLines(change: AccessChange): readonly string[] {
  const isWider = change.change === "widened";
  const head = `${isWider ? "+" : "-"} ${names(change.workloads)}: ${isWider ? "more" : "less"} is let through`;
  return [
    style(isWider ? "red" : "green", plain(head)),
    ...change.weakens.map((weakening) => style("bold", `    ! ${weakening}`)),
    plain(`    ${requestText(change)}`),
    plain(`    callers: ${callersText(change)}`),
    `    for example: ${JSON.stringify(change.witness)}`,
    ...(change.heldBack === true ? [`    ${HELD_BACK}`] : []),
    ...change.causes.map((cause) => plain(`    because ${causeText(cause)}`)),
    "",
  ];
}

function isUnchanged({ changes, clients, proxies, network }: WholeDiff): boolean {
  return changes.length + clients.length + proxies.length + network.length === 0;
}

/** Of what is not compared nobody knows that it has not changed. */
function unchangedText({ notAnalysed, notCompared }: WholeDiff): string {
  return notAnalysed.length + notCompared.length === 0
    ? "no change of what workloads let through"
    : "nothing was found in what was compared; not all was";
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function clientLines(change: ClientChange): readonly string[] {
  const isWider = change.change === "widened";
  return [
    style(isWider ? "red" : "green", plain(`${isWider ? "+" : "-"} from ${clientText(change)}`)),
    ...clientWeakenings(change).map((weakening) => style("bold", `    ! ${weakening}`)),
    ...(change.requests.length === 0 ? [] : [plain(`    ${sayingsText(change.requests)}`)]),
    `    for example: ${JSON.stringify(change.witness)}`,
    ...change.causes.map((cause) => plain(`    because ${causeText(cause)}`)),
    "",
  ];
}

function clientWeakenings({ weakens, leaves }: ClientChange): readonly string[] {
  return [...weakens, ...(leaves ? ["it leaves the mesh"] : [])];
}

/** What comes and what goes, in the words of who sends. */
function clientText(change: ClientChange): string {
  const { clients, dialled, protocols } = change;
  const how = protocols.length === 3 ? "" : ` (${protocols.join(", ")})`;
  return `${names(clients)}: ${names(dialled)} ${sentText(change)}${how}`;
}

function sentText({ gained, lost }: ClientChange): string {
  const isHost = (ways: readonly string[]): boolean => ways.length === 1 && ways[0] === ITSELF;
  if (lost.length === 0 && isHost(gained)) return "may now be reached";
  if (gained.length === 0 && isHost(lost)) return "may no longer be reached";
  const [now, was] = [gained, lost].map(howItself);
  if (now !== undefined && was !== undefined) return `is now sent ${now}, and no longer ${was}`;
  const parts = [
    ...(gained.length === 0 ? [] : [`is now sent to ${gained.join(", ")}`]),
    ...(lost.length === 0 ? [] : [`is no longer sent to ${lost.join(", ")}`]),
  ];
  return parts.length === 0 ? "is sent on in another way" : parts.join("; ");
}

/** How it is sent to the host dialled, where that is all. */
function howItself([way = "", ...others]: readonly string[]): string | undefined {
  const start = `${ITSELF}, `;
  return others.length === 0 && way.startsWith(start) ? way.slice(start.length) : undefined;
}

function networkLines(change: NetworkChange): readonly string[] {
  const isWider = change.change === "widened";
  const head = `${isWider ? "+" : "-"} network: ${networkText(change)}`;
  return [
    style(isWider ? "red" : "green", plain(head)),
    plain(`    for example: ${exampleText(change)}`),
    ...(isHeldBack(change) ? [`    ${REFUSED_ELSEWHERE}`] : []),
    ...change.causes.map((cause) => plain(`    because ${causeText(cause)}`)),
    "",
  ];
}

function networkText({ change, from, to, connections }: NetworkChange): string {
  const verb = change === "widened" ? "may now connect" : "may no longer connect";
  return `${names(from)} ${verb} to ${names(to)}: ${connections}`;
}

/** A connection of UDP or SCTP is none that `can` asks about. */
function exampleText({ connection: { from, to, protocol, port }, witness }: NetworkChange): string {
  return witness === undefined ? `${from} to ${to}, ${protocol} ${port}` : JSON.stringify(witness);
}

function isHeldBack({ heldBack, witness }: NetworkChange): boolean {
  return heldBack === true && witness !== undefined;
}

const REFUSED_ELSEWHERE =
  "held back: what is before or behind the network refuses it, or leads there by no way that is known";

function noteLines({ added, removed, notAnalysed, notCompared }: WholeDiff): readonly string[] {
  return [
    ...(added.length === 0 ? [] : [`new workloads: ${names(added)}`]),
    ...(removed.length === 0 ? [] : [`workloads that are gone: ${names(removed)}`]),
    ...notAnalysed.map(({ workloads, why }) => `not analysed: ${names(workloads)}: ${why}`),
    ...notCompared.map((cause) => `not compared: ${causeText(cause)}; what that gives or takes is not told`),
  ];
}

export function diffJson(diff: WholeDiff): string {
  return `${JSON.stringify(diff, null, 2)}\n`;
}

/** For a comment on a pull request: what weakens authentication before all else. */
export function diffMarkdown(diff: WholeDiff): string {
  const weakened = diff.changes.filter(({ weakens }) => weakens.length > 0);
  const widened = diff.changes.filter(({ change, weakens }) => change === "widened" && weakens.length === 0);
  const narrowed = diff.changes.filter(({ change }) => change === "narrowed");
  const others = (kind: NetworkChange["change"]) => [
    ...diff.clients.filter((each) => each.change === kind && weightOf(each) > 1).map(clientItem),
    ...diff.proxies
      .filter((each) => each.change === kind && weightOf(each) > 1)
      .map((each) => proxyItem(each)),
    ...diff.network.filter(({ change }) => change === kind).map(networkItem),
  ];
  const proxies = (weight: number) =>
    diff.proxies.filter((change) => weightOf(change) === weight).map(proxyItem);
  const egress = diff.clients.filter((change) => weightOf(change) === 1);
  const weakenedClients = diff.clients.filter(({ weakens }) => weakens.length > 0);
  const sections = [
    "## Access that this change gives and takes",
    ...section("Weaker authentication", [
      ...weakened.map(item),
      ...weakenedClients.map(clientItem),
      ...proxies(0),
    ]),
    ...section("Wider egress", [...egress.map(clientItem), ...proxies(1)]),
    ...section("Wider access", [...widened.map(item), ...others("widened")]),
    ...section("Narrower access", [...narrowed.map(item), ...others("narrowed")]),
    ...(isUnchanged(diff) ? [sentence(unchangedText(diff))] : []),
    noteLines(diff)
      .map((line) => `- ${escaped(line)}`)
      .join("\n"),
  ];
  return `${sections.filter((text) => text !== "").join("\n\n")}\n`;
}

function section(title: string, items: readonly string[]): readonly string[] {
  return items.length === 0 ? [] : [`### ${title}`, items.join("\n")];
}

function clientItem(change: ClientChange): string {
  const weakens = clientWeakenings(change).map((weakening) => `**${weakening}.** `);
  const requests = change.requests.length === 0 ? "" : `; ${sayingsText(change.requests)}`;
  return [
    `- ${weakens.join("")}From ${escaped(clientText(change) + requests)}`,
    ...change.causes.map((cause) => `  - because ${escaped(causeText(cause))}`),
    `  - for example: \`${JSON.stringify(change.witness).replaceAll("`", "'")}\``,
  ].join("\n");
}

function networkItem(change: NetworkChange): string {
  return [
    `- Network policies: ${escaped(networkText(change))}`,
    ...change.causes.map((cause) => `  - because ${escaped(causeText(cause))}`),
    change.witness === undefined
      ? `  - for example: ${escaped(exampleText(change))}`
      : `  - for example: \`${exampleText(change).replaceAll("`", "'")}\``,
    ...(isHeldBack(change) ? [`  - ${REFUSED_ELSEWHERE}`] : []),
  ].join("\n");
}

function item(change: AccessChange): string {
  const weakens = change.weakens.map((weakening) => `**${weakening}.** `).join("");
  return [
    `- **${escaped(names(change.workloads))}** — ${weakens}${escaped(requestText(change))}`,
    ...(change.heldBack === true ? [`  - ${HELD_BACK}`] : []),
    `  - callers: ${escaped(callersText(change))}`,
    ...change.causes.map((cause) => `  - because ${escaped(causeText(cause))}`),
    `  - for example: \`${JSON.stringify(change.witness).replaceAll("`", "'")}\``,
  ].join("\n");
}
