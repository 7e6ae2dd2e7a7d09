import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChildProgram } from "../control/child-specs.ts";
import { loadConfiguration } from "../control/load-configuration.ts";
import type { NotStarted, RunningMesh } from "../control/running-mesh.ts";
import { startMesh } from "../control/start-mesh.ts";
import { findLoopbackAddress } from "../substrate/loopback-address.ts";
import type { SubstrateName } from "../substrate/substrate.ts";
import { writeImpostorStage } from "./impostor-stage.ts";
import { RunningMeshUnderAttack } from "./running-mesh.ts";

export interface OwnMeshOptions {
  readonly sources: readonly string[];
  readonly program: ChildProgram;
  /** Default: `loopback`. */
  readonly substrate?: SubstrateName;
  /** 0: 24 h. */
  readonly certTtlSeconds: number;
  readonly signal: AbortSignal;
  /** Told what goes wrong with the mesh's processes. */
  readonly onTrouble: (message: string) => void;
}

const READY_TIMEOUT_MS = 60_000;

/**
 * Brings up a mesh of its own from files, with stand-ins outside and an impostor's stage inside, in a folder of its own; hands it to
 * `work`; and takes all of it down again, whatever happened.
 * @returns what is wrong with the files, when they cannot be a mesh.
 * @throws {BulwarkError} as startMesh, and what `work` throws.
 */
export async function withOwnMesh<T>(
  options: OwnMeshOptions,
  work: (mesh: RunningMeshUnderAttack) => Promise<T>,
): Promise<T | NotStarted> {
  const loaded = await loadConfiguration(options.sources);
  if (!loaded.ok) return loaded;
  const folder = mkdtempSync(join(tmpdir(), "bulwark-attack-"));
  try {
    const extra = join(folder, "extra");
    mkdirSync(extra);
    const { substrate = "loopback" } = options;
    // In namespaces no address is the attacker's but a pod's own.
    const stage =
      substrate === "netns"
        ? undefined
        : writeImpostorStage(
            extra,
            loaded.mesh,
            await findLoopbackAddress(`impostor ${folder}`, new Set(), [18_080]),
          );
    const started = await startMesh({
      statePath: join(folder, "state"),
      sources: stage === undefined ? options.sources : [...options.sources, extra],
      certTtlSeconds: options.certTtlSeconds,
      simulateExternal: true,
      substrate,
      applications: new Map(),
      program: options.program,
      showFlows: false,
      onEvent: (event) => {
        if (event.kind === "warning") options.onTrouble(event.message);
      },
    });
    if (!started.ok) return started;
    return await untilStopped(started, options.signal, async () => {
      const { signal } = options;
      const mesh = await RunningMeshUnderAttack.open(started.state, {
        signal,
        ...(stage === undefined ? {} : { impostorStage: stage }),
      });
      try {
        return await work(mesh);
      } finally {
        mesh.close();
      }
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function untilStopped<T>(mesh: RunningMesh, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    await Promise.race([mesh.untilReady(READY_TIMEOUT_MS), aborted(signal)]);
    return await work();
  } finally {
    await mesh.stop();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
