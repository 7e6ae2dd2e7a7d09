import type { AccessRequest, Decision, HopVerdict, LoadedMesh } from "../../index.ts";
import { formatDiagnostic } from "../../resources/diagnostic.ts";
import { resourceName } from "../../resources/resource.ts";
import { plain, style } from "./style.ts";
import { table } from "./table.ts";

/** One decision a line, so that thousands can be read by lines as well. */
export function writeDecisionsJson(decisions: readonly Decision[], loaded: LoadedMesh): void {
  writeJsonLines("decisions", decisions, loaded);
}

/** An object with one list, an entry a line, and what to know about the files. */
export function writeJsonLines(name: string, entries: readonly unknown[], loaded: LoadedMesh): void {
  const lines = entries.map((entry) => `  ${JSON.stringify(entry)}`).join(",\n");
  const rest = {
    rejected: loaded.rejected.map(({ kind, namespace, name, errors }) => ({
      kind,
      namespace,
      name,
      error: errors.map(({ message }) => message).join("; "),
      errors,
    })),
    warnings: loaded.warnings,
    stockGateways: loaded.stockGateways,
  };
  writeNotes(rejectedLines(loaded));
  process.stdout.write(`{"${name}": [\n${lines}\n],\n${JSON.stringify(rest).slice(1, -1)}}\n`);
}

/**
 * What a person must know about the files before they believe an answer.
 * @param named how files are to be called.
 */
export function writeDecisionNotes(
  { rejected, warnings, stockGateways }: LoadedMesh,
  named = (text: string): string => text,
): void {
  const notes = [
    ...rejectedLines({ rejected }),
    ...warnings.map(formatDiagnostic),
    ...stockGateways.map(
      ({ workload, selectedBy }) =>
        `note: ${workload} is provided as \`istioctl install\` would, for ${selectedBy.join(", ")}`,
    ),
  ];
  writeNotes(notes.map(named));
}

function rejectedLines({ rejected }: Pick<LoadedMesh, "rejected">): readonly string[] {
  return rejected.flatMap((resource) => [
    `rejected: ${resourceName(resource)} takes no part`,
    ...resource.errors.map((error) => `  ${formatDiagnostic(error)}`),
  ]);
}

function writeNotes(notes: readonly string[]): void {
  for (const note of notes) process.stderr.write(`${note.split("\n").map(plain).join("\n")}\n`);
}

export function writeDecisionsText(
  requests: readonly AccessRequest[],
  decisions: readonly Decision[],
  explained: boolean,
): void {
  const parts = decisions.map((decision, index) => {
    const request = requests[index] as AccessRequest;
    return explained ? explainedText(request, decision) : lineText(request, decision);
  });
  process.stdout.write(`${parts.join(explained ? "\n" : "")}`);
  if (decisions.length !== 1) process.stdout.write(`${summary(decisions)}\n`);
}

function lineText(request: AccessRequest, decision: Decision): string {
  return `${verdictWord(decision).padEnd(8)} ${plain(decision.id)}  ${question(request)}  ${plain(answer(decision))}\n`;
}

function explainedText(request: AccessRequest, decision: Decision): string {
  const why = decision.explanation.map((line) => `  ${plain(line)}\n`).join("");
  return `${verdictWord(decision)}: ${question(request)}\n${plain(answer(decision))}\n\n${hopTable(decision)}\n${why}`;
}

function verdictWord(decision: Decision): string {
  const mixed = decision.others?.some((other) => other.allowed !== decision.allowed) === true;
  if (mixed) return style("yellow", "mixed");
  if (decision.reason === "unknown") return style("yellow", "unknown");
  return decision.allowed ? style("green", "allowed") : style("red", "denied");
}

/** By whom, and by which rule. */
function answer({ code, reason, cause, hop, policy, rule }: Decision): string {
  const status = code === 0 ? reason : `${code} ${reason}`;
  const named = policy === null ? "" : `, ${policy}${rule === null ? "" : ` rule ${rule}`}`;
  return `${status} (${cause}) by ${hop}${named}`;
}

function question({ from = {}, to, via, protocol = "http", method, path = "/" }: AccessRequest): string {
  const name = to.workload ?? to.service ?? to.host ?? "";
  const http = protocol === "http" || protocol === "grpc";
  const what = http ? `${method ?? (protocol === "grpc" ? "POST" : "GET")} ` : "";
  const where = `${protocol}://${name}:${to.port}${http ? path : ""}`;
  const who = from.workload ?? from.principal ?? from.ip ?? "a client";
  const past = from.workload !== undefined && from.principal === null ? " (plaintext, past its proxy)" : "";
  return plain(`${who}${past} → ${what}${where}${via === undefined ? "" : ` via ${via}`}`);
}

function hopTable({ hops }: Decision): string {
  return table(
    ["HOP", "SIDE", "SAYS", "CAUSE", "SENDS TO"],
    hops.map((hop) => [hop.hop, sideOf(hop), says(hop), hop.cause, sendsTo(hop)]),
  );
}

/** Below the proxies: which end's network policies were asked. */
function sideOf({ side, layer }: HopVerdict): string {
  if (layer !== "network") return side;
  return side === "client" ? "NetworkPolicy out" : "NetworkPolicy in";
}

function says({ allowed, reason }: HopVerdict): string {
  return allowed ? "allowed" : reason === "unknown" ? "unknown" : "denied";
}

function sendsTo({ to, tls }: HopVerdict): string {
  return to === undefined ? "" : tls === undefined ? to : `${to}, ${tls}`;
}

function summary(decisions: readonly Decision[]): string {
  const allowed = decisions.filter((decision) => decision.allowed).length;
  const unknown = decisions.filter(({ reason }) => reason === "unknown").length;
  return `${allowed} allowed, ${decisions.length - allowed - unknown} denied, ${unknown} unknown`;
}
