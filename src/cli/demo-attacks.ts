import { runAttacks } from "../attack/run-attacks.ts";
import { RunningMeshUnderAttack } from "../attack/running-mesh.ts";
import type { StateFolder } from "../control/state-folder.ts";
import { renderAttacks } from "./render/attacks.ts";

/** Attacks on the way out: what the egress example is about, in a few seconds. */
const SHOWN = ["e1", "e2", "e3", "e4", "e6"];

/** Attacks the mesh of a state folder, and tells what came of it. Ends early, with what there is, when `signal` says so. */
export async function demoAttacks(
  state: StateFolder,
  signal: AbortSignal = new AbortController().signal,
): Promise<string> {
  const mesh = await RunningMeshUnderAttack.open(state, { signal });
  try {
    return renderAttacks(await runAttacks(mesh, { only: SHOWN }), { brief: true });
  } finally {
    mesh.close();
  }
}
