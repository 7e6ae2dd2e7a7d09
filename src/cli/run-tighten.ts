import { proposeEgress } from "../analysis/tighten/egress.ts";
import { Evidence } from "../analysis/tighten/evidence.ts";
import { IdGaps } from "../analysis/tighten/id-gaps.ts";
import { proposeNetworkPolicies } from "../analysis/tighten/network.ts";
import { DEFAULT_THRESHOLDS, type PathThresholds } from "../analysis/tighten/path-thresholds.ts";
import { proposeAuthorization } from "../analysis/tighten/propose.ts";
import { Replay } from "../analysis/tighten/replay.ts";
import { reportOf } from "../analysis/tighten/report.ts";
import { proposeSidecars } from "../analysis/tighten/sidecars.ts";
import { wholeProposal } from "../analysis/tighten/whole-proposal.ts";
import { WorkloadNames } from "../analysis/tighten/workload-names.ts";
import { loadMesh } from "../index.ts";
import type { Semantics } from "../policy/inbound.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { formatDiagnostic } from "../resources/diagnostic.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import {
  type FlowLog,
  type FlowLogOptions,
  flowLogs,
  type MalformedLine,
  type ReadUntil,
  readings,
} from "./flow-logs.ts";
import { writeDecisionNotes } from "./render/decisions.ts";
import { plain } from "./render/style.ts";
import { tightenJson, tightenMarkdown, tightenText } from "./render/tighten.ts";
import { checkOutFolder, writeChanges } from "./write-changes.ts";

export interface TightenOptionsOfCommand extends FlowLogOptions {
  readonly out?: string;
  readonly format: "text" | "json" | "markdown";
  readonly semantics: Semantics;
  readonly inactive: "keep" | "close";
  /** What is proposed besides AuthorizationPolicies. */
  readonly sidecars?: boolean;
  readonly network?: boolean;
  readonly egress?: boolean;
  readonly identifiers?: number;
  readonly words?: number;
  readonly patterns?: number;
  readonly leaveOutStatus?: readonly number[];
}

const SHOWN_MALFORMED = 20;

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runTighten(
  sources: readonly string[],
  options: TightenOptionsOfCommand,
): Promise<ExitCode> {
  if (options.out !== undefined) checkOutFolder(options.out);
  const loaded = await loadMesh(sources);
  const refused = loaded.rejected.flatMap(({ errors }) => errors);
  if (refused.length > 0)
    throw new BulwarkError(
      "BW_MESH_INVALID",
      ["nothing was tightened, for not all files are valid", ...refused.map(formatDiagnostic)].join("\n"),
      { detail: { diagnostics: refused } },
    );
  writeDecisionNotes(loaded);
  const { mesh } = loaded;
  const { semantics } = options;
  const gaps = new IdGaps();
  const logs = flowLogs(options, new WorkloadNames(mesh), gaps);
  const thresholds = thresholdsOf(options);
  const evidence = new Evidence(mesh, {
    semantics,
    thresholds,
    unwantedStatuses: new Set(options.leaveOutStatus ?? []),
  });
  const until: ReadUntil = new Map();
  const malformed = collect(logs, until, evidence);
  if (evidence.granted === 0 && evidence.clients.size === 0 && options.inactive === "keep")
    throw nothingSeen(malformed, evidence, options);
  gaps.close();
  const missing = gaps.missing();
  const proposal = await proposeAuthorization(mesh, evidence, {
    semantics,
    thresholds,
    inactive: options.inactive,
  });
  const extras = [
    ...(options.sidecars === true ? [await proposeSidecars(mesh, evidence)] : []),
    ...(options.network === true ? [await proposeNetworkPolicies(mesh, proposal.servers)] : []),
  ];
  if (options.egress === true) {
    const others = extras.flatMap(({ changes }) => changes);
    const { inactive, network = false } = options;
    extras.push(await proposeEgress(mesh, evidence, others, { inactive, network }));
  }
  const whole = await wholeProposal(mesh, proposal, extras, semantics);
  const replay = new Replay(mesh, whole.mesh, semantics, new Set(options.leaveOutStatus ?? []));
  for (const reading of readings(logs, until, () => {})) {
    if (reading.kind === "server") replay.add(reading);
    else if (reading.kind === "client" && extras.length > 0) replay.addClient(reading);
  }
  const replayed = await replay.finish();
  const report = reportOf(mesh, evidence, { malformed: malformed.count, missing }, whole, replayed);
  const isRefused = replayed.refused.length > 0 || whole.wider.length > 0;
  // What is said to be written is there.
  if (options.out !== undefined && !isRefused) writeChanges(options.out, report.changes);
  const render = { text: tightenText, json: tightenJson, markdown: tightenMarkdown }[options.format];
  process.stdout.write(render(report, malformed.shown, options.out));
  return isRefused ? EXIT.failed : EXIT.ok;
}

function thresholdsOf({ identifiers, words, patterns }: TightenOptionsOfCommand): PathThresholds {
  return {
    identifiers: identifiers ?? DEFAULT_THRESHOLDS.identifiers,
    words: words ?? DEFAULT_THRESHOLDS.words,
    patterns: patterns ?? DEFAULT_THRESHOLDS.patterns,
  };
}

interface Malformed {
  count: number;
  readonly shown: MalformedLine[];
}

function collect(logs: readonly FlowLog[], until: ReadUntil, evidence: Evidence): Malformed {
  const malformed: Malformed = { count: 0, shown: [] };
  const note = (line: MalformedLine): void => {
    malformed.count++;
    if (malformed.shown.length < SHOWN_MALFORMED) malformed.shown.push(line);
  };
  for (const reading of readings(logs, until, note)) evidence.add(reading);
  return malformed;
}

function nothingSeen(
  { count, shown }: Malformed,
  evidence: Evidence,
  { envoy = [], trustAddresses }: TightenOptionsOfCommand,
): BulwarkError {
  const bad = count === 0 ? "" : `; ${count} records are malformed`;
  const nameless = [...evidence.unvouched.values()].filter(({ caller }) => caller === "no identity");
  const lines = [
    ...shown.map(({ at, why }) => `${at}: ${why}`),
    ...(evidence.records === 0 ? [] : [`records that were read: ${evidence.records}`]),
    ...[...evidence.unvouched.values()]
      .slice(0, SHOWN_MALFORMED)
      .map(
        ({ workload, port, caller, requests, example }) =>
          `to ${workload} at port ${port}, by ${caller}: ${requests}, such as ${example}`,
      ),
    ...[...evidence.leftOut].map(([why, records]) => `left out as ${why}: ${records}`),
    ...(envoy.length > 0 && nameless.length > 0 && trustAddresses !== true ? [NO_PEER] : []),
  ].map(plain);
  return new BulwarkError(
    "BW_CLI_INPUT",
    [`the logs show nothing that was let through, by whom the files know${bad}`, ...lines].join("\n  "),
  );
}

const NO_PEER =
  "Istio's own JSON format does not say who called: set one that does (`accessLogFormat` in MeshConfig; docs/tighten.md has it whole), or take addresses of pods in the files for who called: `--trust-addresses`";
