import type { ConfigurationChange } from "../../control/configuration-change.ts";
import type { StatusReport } from "../../control/messages.ts";
import type { NotStarted, RunnerEvent, RunningMesh } from "../../control/running-mesh.ts";
import type { FlowRecord } from "../../model/flow-record.ts";
import { type Diagnostic, formatDiagnostic } from "../../resources/diagnostic.ts";
import { formatFlowLine } from "../../telemetry/flow-format.ts";
import { accessWarning, changeLines } from "./change.ts";
import { SaidOnce } from "./said-once.ts";
import { startNotes } from "./start-notes.ts";
import { renderGateways, renderPods } from "./status.ts";
import { isColoured, plain, style } from "./style.ts";

/** What `up` tells while it runs. */
export interface Account {
  notStarted(result: NotStarted): void;
  started(mesh: RunningMesh): void;
  ready(status: StatusReport): void;
  /** From here on flows are shown as they happen. */
  live(): void;
  event(event: RunnerEvent): void;
  stopping(): void;
  stopped(): void;
}

/** For programs: one JSON object a line. */
export function jsonAccount(): Account {
  const say = (value: Readonly<Record<string, unknown>>) =>
    process.stdout.write(`${JSON.stringify(value)}\n`);
  return {
    notStarted: ({ errors, warnings }) => say({ kind: "not-started", errors, warnings }),
    started: ({ configuration, warnings, notActedOn }) =>
      say({
        kind: "started",
        version: configuration.version,
        warnings,
        notActedOn,
        notes: startNotes(configuration),
      }),
    ready: (status) => say({ kind: "ready", status }),
    live: () => say({ kind: "live" }),
    event: (event) => {
      // Addresses go out with `ready`; the event also carries the sidecars' secrets.
      if (event.kind !== "assignments") say(event);
    },
    stopping: () => say({ kind: "stopping" }),
    stopped: () => say({ kind: "stopped" }),
  };
}

/** For a person: compact, newest last. */
export function textAccount(quiet: boolean): Account {
  return new TextAccount(quiet);
}

const REFUSAL_PERIOD_MS = 30_000;

class TextAccount implements Account {
  readonly #quiet: boolean;
  readonly #startedAt = performance.now();
  #isUp = false;
  #isLive = false;
  #stopping = false;
  readonly #refusals = new SaidOnce(REFUSAL_PERIOD_MS);

  constructor(quiet: boolean) {
    this.#quiet = quiet;
  }

  notStarted({ errors, warnings }: NotStarted): void {
    for (const problem of [...warnings, ...errors]) complain(problemText(problem));
    complain(`\n${errors.length === 1 ? "1 error" : `${errors.length} errors`}: nothing was started`);
  }

  started(mesh: RunningMesh): void {
    const { configuration, warnings, notActedOn, state } = mesh;
    this.#problems(warnings);
    for (const { resource, message } of notActedOn)
      this.#say(plain(`not acted on: ${resource ?? ""}: ${message}`));
    for (const note of startNotes(configuration)) this.#say(note);
    const { lastChange, version } = configuration;
    if (lastChange?.version === version) {
      this.#say("changed since this mesh ran last:");
      this.#change(lastChange);
    }
    this.#say(
      `${configuration.resources.length} resources, ${configuration.assignments.pods.length} pods; state in ${state.root}; starting…`,
    );
  }

  ready(status: StatusReport): void {
    this.#isUp = true;
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1);
    this.#say(`\n${renderPods(status.pods, new Date())}`);
    if (status.gateways.length > 0) this.#say(renderGateways(status.gateways));
    this.#say(style("bold", `The mesh is up (${seconds} s). Ctrl-C stops it.`));
  }

  live(): void {
    this.#isLive = true;
    this.#say("Flows, as they happen:");
  }

  event(event: RunnerEvent): void {
    switch (event.kind) {
      case "flows":
        if (!this.#isLive) break;
        for (const record of event.records.filter(isShown)) this.#say(flowLine(record));
        break;
      case "process":
        this.#process(event.event);
        break;
      case "output":
        this.#output(event.name, event.line);
        break;
      case "configuration-accepted":
        this.#problems(event.warnings);
        this.#say(acceptedText(event));
        if (event.change !== null) this.#change(event.change);
        break;
      case "configuration-restored":
        this.#say(style("green", `the files are again what is in force: configuration ${event.version}`));
        break;
      case "configuration-refused":
        complain(style("red", "the change is NOT in force, the configuration before it is:", process.stderr));
        this.#problems(event.errors);
        break;
      case "leftovers":
        this.#say(`stopped what an earlier up has left running: ${event.names.join(", ")}`);
        break;
      default:
        this.#trouble(event);
    }
  }

  stopping(): void {
    this.#stopping = true;
    this.#say("stopping…");
  }

  stopped(): void {
    this.#say("stopped; nothing is left running");
  }

  #process(event: Extract<RunnerEvent, { kind: "process" }>["event"]): void {
    if (this.#stopping) return;
    if (event.kind === "started" && event.restarts > 0) this.#say(`${event.name} is started again`);
    if (event.kind === "died")
      complain(`${event.name} died (${event.how}); it starts again in ${event.restartInMs} ms`);
    if (event.kind === "not-started") complain(`${event.name} cannot be started: ${plain(event.why)}`);
  }

  /** Everybody who has a pod's token can have the CA refuse something, as often as they like. */
  #trouble(event: RunnerEvent): void {
    const line = trouble(event);
    if (line === undefined) return;
    complainIf(event.kind === "certificate-refused" ? this.#refusals.say(line) : line);
  }

  /** An application's output is shown as it comes; our own processes write only what went wrong. */
  #output(name: string, line: string): void {
    const text = `${style("dim", `[${name}]`)} ${plain(line)}`;
    if (name.startsWith("app ")) this.#say(text);
    else if (this.#isUp && !this.#stopping) complain(text);
  }

  #change(change: ConfigurationChange): void {
    for (const line of changeLines(change)) this.#say(line);
    complainIf(accessWarning(change, process.stderr));
  }

  #problems(problems: readonly Diagnostic[]): void {
    for (const problem of problems) {
      if (problem.severity === "error" || !this.#quiet) complain(problemText(problem));
    }
  }

  #say(text: string): void {
    if (!this.#quiet) process.stdout.write(`${text}\n`);
  }
}

/** What is wrong, of events that are only of interest then. */
function trouble(event: RunnerEvent): string | undefined {
  switch (event.kind) {
    case "flow-log":
      return event.ok
        ? "the flow log is written again"
        : `the flow log cannot be written: ${plain(event.message ?? "")}; the mesh goes on, proxies keep their records`;
    case "revoked":
      return `revoked: ${event.serials.length === 1 ? "a certificate" : `${event.serials.length} certificates`} of ${event.identities.map(plain).join(", ")}`;
    case "identity-restored":
      return `${plain(event.identity)} is let back in: its pods are given new tokens`;
    case "proxy-refused":
      return `${event.pod} goes on with its configuration before ${event.version}: ${plain(event.why)}`;
    case "certificate-refused":
      return `the CA refused a request: ${plain(event.message)} (${event.code})`;
    case "issuer-keys":
      return event.error === null
        ? undefined
        : `the keys of ${plain(event.url)} cannot be fetched: ${plain(event.error)}; ${event.keyIds.length === 0 ? "its tokens are refused" : "those fetched before are used"}`;
    case "ca-rotation":
      return rotationText(event);
    case "ca-rotation-problem":
      return `the rotation of the CA's keys cannot go on, and is tried again: ${plain(event.message)}`;
    case "warning":
      return plain(event.message);
    default:
      return undefined;
  }
}

function rotationText({ rotation, last }: Extract<RunnerEvent, { kind: "ca-rotation" }>): string | undefined {
  if (rotation !== null) return `the CA's ${rotation.kind} is being replaced: ${rotation.phase}`;
  return last === null ? undefined : `the CA's ${last.kind} has been replaced`;
}

function acceptedText({ version, resources }: { version: number; resources: number }): string {
  return style("green", `the change is in force: configuration ${version}, ${resources} resources`);
}

function flowLine(record: FlowRecord): string {
  return formatFlowLine(record, { colour: isColoured(process.stdout) });
}

function problemText(problem: Diagnostic): string {
  return formatDiagnostic(problem).split("\n").map(plain).join("\n");
}

/** Handshakes and rotations that went well are in the log and in `status`; here they would hide the rest. */
function isShown({ kind, verdict }: FlowRecord): boolean {
  return verdict !== "allow" || (kind !== "handshake" && kind !== "rotation");
}

function complain(text: string): void {
  process.stderr.write(`${text}\n`);
}

function complainIf(text: string | undefined): void {
  if (text !== undefined) complain(text);
}
