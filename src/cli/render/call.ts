import { fstatSync } from "node:fs";
import { type CallOutcome, grpcFailure } from "../../control/run-call.ts";
import { describeRefusal } from "../../telemetry/correlate.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { plain, style } from "./style.ts";

const LINE_FEED = 0x0a;

/** The server's answer on standard output, as it came; who refused, and why, on standard error. */
export function renderCall(
  outcome: CallOutcome,
  options: { readonly format: string; readonly include?: boolean },
): void {
  if (options.format === "json") {
    process.stdout.write(`${JSON.stringify(callJson(outcome), undefined, 2)}\n`);
    return;
  }
  const { answer } = outcome;
  if (options.include === true && answer.status > 0) process.stdout.write(headText(outcome));
  process.stdout.write(answer.body);
  const isOpenLine = answer.body.length > 0 && answer.body.at(-1) !== LINE_FEED;
  if (isOpenLine && process.stdout.isTTY) process.stdout.write("\n");
  if (outcome.result === "answered") return;
  // Where both go to one place the line is ended on the way that is not the answer's: that stays byte for byte.
  if (isOpenLine && !process.stdout.isTTY && isSamePlace()) process.stderr.write("\n");
  process.stderr.write(`${refusalText(outcome)}\n`);
}

/** Whether standard output and standard error are one file, pipe or terminal. */
function isSamePlace(): boolean {
  try {
    const [out, error] = [fstatSync(1), fstatSync(2)];
    return out.dev === error.dev && out.ino === error.ino;
  } catch {
    return false;
  }
}

export function exitCodeOf({ result }: CallOutcome): ExitCode {
  return result === "answered" ? EXIT.ok : result === "refused" ? EXIT.denied : EXIT.failed;
}

const WORDS: Readonly<Record<CallOutcome["result"], string>> = {
  answered: "answered",
  refused: "refused",
  failed: "failed",
  unknown: "refused or failed",
};

/** One line, and below it what the record explains. */
export function refusalText(outcome: CallOutcome): string {
  const { answer, account, from, call } = outcome;
  const word = style("red", WORDS[outcome.result], process.stderr);
  const saw = answer.status > 0 ? statusText(answer) : (answer.failure ?? "no answer");
  const head = `${word}: ${from} → ${plain(call.url.href)}: ${plain(saw)}`;
  const { refusal } = account;
  if (refusal === undefined) {
    // What passed may still be told of: TLS inside TLS is let through, and then fails at its ends.
    const told = [...new Set(account.records.flatMap(({ explanation }) => explanation ?? []))];
    const lost =
      account.missing === undefined ? [] : [`${account.missing}, so who refused or failed is not known`];
    const lines = [...told, ...lost];
    return `${head}${indented(lines.length > 0 ? lines : ["nothing in the flow log says why"])}`;
  }
  return `${head}${indented([describeRefusal(refusal), ...(refusal.explanation ?? [])])}`;
}

function statusText({ status, headers }: CallOutcome["answer"]): string {
  const grpc = grpcFailure(headers);
  return grpc === undefined ? `HTTP ${status}` : `HTTP ${status}, grpc-status ${grpc}`;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `\n  ${plain(line)}`).join("");
}

function headText({ answer }: CallOutcome): string {
  const status = `HTTP/${answer.httpVersion} ${answer.status} ${plain(answer.statusText)}`.trimEnd();
  const headers = answer.headers.map(([name, value]) => `${plain(name)}: ${plain(value)}\n`).join("");
  return `${style("bold", status)}\n${headers}\n`;
}

function callJson({ from, call, answer, account, result }: CallOutcome): unknown {
  const { body, ...rest } = answer;
  return {
    from,
    url: call.url.href,
    result,
    answer: { ...rest, body: body.toString("utf8") },
    refusal: account.refusal ?? null,
    summary: account.refusal === undefined ? null : describeRefusal(account.refusal),
    missing: account.missing ?? null,
    flows: account.records,
  };
}
