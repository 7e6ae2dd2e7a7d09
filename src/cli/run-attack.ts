import type { MeshUnderAttack } from "../attack/mesh-under-attack.ts";
import { withOwnMesh } from "../attack/own-mesh.ts";
import { type AttackProgress, type AttackReport, runAttacks } from "../attack/run-attacks.ts";
import { RunningMeshUnderAttack } from "../attack/running-mesh.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { formatDiagnostic } from "../resources/diagnostic.ts";
import type { SubstrateName } from "../substrate/substrate.ts";
import { chooseSubstrate } from "./choose-substrate.ts";
import { keepVerdict } from "./closed-pipe.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { type StateOptions, stateOf } from "./options.ts";
import { renderAttacks } from "./render/attacks.ts";
import { thisProgram } from "./this-program.ts";

export interface AttackOptions extends StateOptions {
  readonly format: string;
  readonly substrate?: SubstrateName | "auto";
  readonly only?: readonly string[];
  readonly brief?: boolean;
  /** Milliseconds. */
  readonly certTtl?: number;
}

/** Attacks the running mesh, or one of its own made of these sources. @throws {BulwarkError} */
export async function runAttack(sources: readonly string[], options: AttackOptions): Promise<ExitCode> {
  keepVerdict();
  if (sources.length === 0 && (options.substrate ?? "loopback") !== "loopback")
    throw new BulwarkError("BW_CLI_INPUT", "--substrate is for a mesh that is brought up: name its files");
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
  const attack = (mesh: MeshUnderAttack) =>
    runAttacks(mesh, {
      ...(options.only === undefined ? {} : { only: options.only.flatMap((ids) => ids.split(",")) }),
      onProgress: showProgress,
    });
  const report =
    sources.length > 0
      ? await onOwnMesh(sources, options, stop.signal, attack)
      : await onRunningMesh(options, stop.signal, attack);
  clearProgress();
  if (report === undefined) return EXIT.invalid;
  process.stdout.write(
    options.format === "json"
      ? `${JSON.stringify(report, undefined, 2)}\n`
      : renderAttacks(report, { brief: options.brief === true }),
  );
  if (report.counts.succeeded > 0) return EXIT.denied;
  return stop.signal.aborted ? EXIT.failed : EXIT.ok;
}

async function onOwnMesh(
  sources: readonly string[],
  options: AttackOptions,
  signal: AbortSignal,
  attack: (mesh: MeshUnderAttack) => Promise<AttackReport>,
): Promise<AttackReport | undefined> {
  note(`bringing up a mesh of ${sources.join(", ")}…`);
  const outcome = await withOwnMesh(
    {
      sources,
      substrate: await chooseSubstrate(options.substrate ?? "loopback"),
      signal,
      program: thisProgram(),
      certTtlSeconds: Math.round((options.certTtl ?? 0) / 1000),
      onTrouble: (message) => process.stderr.write(`bulwark: ${message}\n`),
    },
    attack,
  );
  if (!("ok" in outcome)) return outcome;
  for (const problem of outcome.errors) process.stderr.write(`${formatDiagnostic(problem)}\n`);
  return undefined;
}

async function onRunningMesh(
  options: AttackOptions,
  signal: AbortSignal,
  attack: (mesh: MeshUnderAttack) => Promise<AttackReport>,
): Promise<AttackReport> {
  const mesh = await RunningMeshUnderAttack.open(stateOf(options), { signal });
  try {
    return await attack(mesh);
  } finally {
    mesh.close();
  }
}

/** On a terminal only, and on standard error: what is piped is the report alone. */
function showProgress({ attack, done, steps }: AttackProgress): void {
  note(`${attack.rows.join(", ")} ${attack.title}: ${done}/${steps}`);
}

function note(text: string): void {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\u001b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
}
