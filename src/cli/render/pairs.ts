import type { LoadedMesh, Pair, PairOutcome, PairVerdict, RequestTemplate } from "../../index.ts";
import { writeJsonLines } from "./decisions.ts";
import { table } from "./table.ts";

export function writePairsJson(pairs: readonly Pair[], loaded: LoadedMesh): void {
  writeJsonLines("pairs", pairs, loaded);
}

/** Of pairs that come out alike so many are named; the JSON names all. */
const SHOWN_ALIKE = 10;
const ORDER: readonly PairVerdict[] = ["allowed", "partly", "unknown", "denied"];

/** @param all also those that are not shown, which count. */
export function writePairsText(shown: readonly Pair[], all: readonly Pair[]): void {
  const groups = [...Map.groupBy(shown, likeness).values()].sort(
    ([a], [b]) => ORDER.indexOf(a?.verdict ?? "denied") - ORDER.indexOf(b?.verdict ?? "denied"),
  );
  const rows = groups.flatMap(groupRows);
  const text = table(["FROM", "TO", "REQUEST", "SAYS", "WHY"], rows);
  process.stdout.write(`${text}${text === "" ? "" : "\n"}${summary(all)}\n`);
}

/** What makes two pairs come out alike, for a person: not which server's own proxy it was. */
function likeness({ port, to, requests }: Pair): string {
  const outcomes = requests.map((outcome) => {
    const { hop } = outcome;
    return [requestText(outcome.request), outcome.verdict, why({ ...outcome, hop: hop === to ? "" : hop })];
  });
  return JSON.stringify([port, outcomes]);
}

function groupRows(pairs: readonly Pair[]): readonly (readonly string[])[] {
  const [first, ...others] = pairs;
  if (first === undefined) return [];
  const more = others.length + 1 - SHOWN_ALIKE;
  return [
    ...pairRows(first),
    ...others
      .slice(0, SHOWN_ALIKE - 1)
      .map(({ from, to, port }) => [from, `${to}:${port}`, "as above", first.verdict, ""]),
    ...(more > 0 ? [[`and ${more} more`, "", "as above", first.verdict, ""]] : []),
  ];
}

/** Requests of a pair that come out alike share a row. */
function pairRows({ from, to, port, requests }: Pair): readonly (readonly string[])[] {
  const alike = [...Map.groupBy(requests, (outcome) => `${outcome.verdict} ${why(outcome)}`).values()];
  return alike.map((outcomes, index) => {
    const [first] = outcomes;
    const ends = index === 0 ? [from, `${to}:${port}`] : ["", ""];
    return [
      ...ends,
      outcomes.map(({ request }) => requestText(request)).join(", "),
      first?.verdict ?? "",
      first === undefined ? "" : why(first),
    ];
  });
}

function requestText({ protocol = "http", method, path = "/", host, headers = [] }: RequestTemplate): string {
  if (protocol === "tcp" || protocol === "tls") return protocol;
  const to = host === undefined ? "" : ` host ${host}`;
  return `${method ?? (protocol === "grpc" ? "POST" : "GET")} ${path}${to}${headers.map(([name, value]) => ` ${name}: ${value}`).join("")}`;
}

function why({ code, reason, cause, policy, rule, hop }: PairOutcome): string {
  const by = policy === null ? hop : `${policy}${rule === null ? "" : ` rule ${rule}`}`;
  return `${code === 0 ? "" : `${code} `}${cause === reason ? cause : `${reason} (${cause})`} by ${by}`;
}

function summary(pairs: readonly Pair[]): string {
  const count = (verdict: PairVerdict): number => pairs.filter((pair) => pair.verdict === verdict).length;
  return `${pairs.length} pairs: ${ORDER.map((verdict) => `${count(verdict)} ${verdict}`).join(", ")}`;
}
