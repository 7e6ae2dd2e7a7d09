import { type CallOutcome, runCall } from "../control/run-call.ts";
import type { RunningMesh } from "../control/running-mesh.ts";
import type { WorkloadCall } from "../control/workload-call.ts";
import { describeRefusal } from "../telemetry/correlate.ts";
import { demoAttacks } from "./demo-attacks.ts";
import { plain, style } from "./render/style.ts";

interface DemoCall {
  readonly from: string;
  readonly url: string;
  readonly expected: CallOutcome["result"];
}

/** The calls of the egress example: each team's own host, the other team's, and one that nobody registered. */
const CALLS: readonly DemoCall[] = [
  { from: "team-a/app-a", url: "https://www.ibm.com/", expected: "answered" },
  { from: "team-b/app-b", url: "https://mongo1.composedb.com/", expected: "answered" },
  { from: "team-a/app-a", url: "https://mongo1.composedb.com/", expected: "refused" },
  { from: "team-b/app-b", url: "https://www.ibm.com/", expected: "refused" },
  { from: "team-a/app-a", url: "https://www.example.org/", expected: "refused" },
];

/** Shows, on a mesh that is up, who may leave and who may not, each with who refused and by which rule; then attacks it. */
export async function runDemo(mesh: RunningMesh, signal: AbortSignal): Promise<void> {
  const workloads = new Set(mesh.configuration.assignments.pods.map(({ workload }) => workload));
  const calls = CALLS.filter(({ from }) => workloads.has(from));
  process.stdout.write(`\n${style("bold", "Who may leave, and who may not:")}\n`);
  for (const call of calls) process.stdout.write(`${await demoLine(mesh, call)}\n`);
  process.stdout.write(`\n${style("bold", "The same by attack, on the live mesh (some ten seconds):")}\n`);
  const attacks = await demoAttacks(mesh.state, signal);
  if (signal.aborted) return;
  process.stdout.write(attacks);
  process.stdout.write("\nTry it: bulwark call team-a/app-a https://www.ibm.com/   (in a second terminal)\n");
}

async function demoLine(mesh: RunningMesh, { from, url, expected }: DemoCall): Promise<string> {
  try {
    const outcome = await runCall(mesh.state, from, 0, callOf(url));
    const mark = outcome.result === expected ? style("green", "✔") : style("red", "✘");
    return (
      `${mark} ${`${from} → ${url}`.padEnd(48)} ${outcome.result.padEnd(9)} ${why(outcome)}`.trimEnd() +
      explanation(outcome)
    );
  } catch (error) {
    return `${style("red", "✘")} ${from} → ${url}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function callOf(url: string): WorkloadCall {
  return { url: new URL(url), method: "GET", headers: [], http2: false, timeoutMs: 10_000, insecure: false };
}

function explanation({ account }: CallOutcome): string {
  return (account.refusal?.explanation ?? []).map((line) => `\n    ${style("dim", plain(line))}`).join("");
}

function why({ answer, account }: CallOutcome): string {
  if (account.refusal !== undefined) return plain(describeRefusal(account.refusal));
  return answer.status > 0 ? `HTTP ${answer.status}` : plain(answer.failure ?? "");
}
