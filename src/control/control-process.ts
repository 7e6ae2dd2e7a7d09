import { liveAsChild, warn } from "./child-life.ts";
import { ControlPlane, type ControlProcessOptions } from "./control-plane.ts";
import { CONTROL_REFUSED_EXIT, leaveRefusal } from "./control-refusal.ts";
import { stateFolderAt } from "./state-folder.ts";

/** Runs the control plane of a mesh whose first configuration `up` has put into the state folder. */
export async function runControlProcess(options: ControlProcessOptions): Promise<void> {
  const state = stateFolderAt(options.statePath);
  try {
    const control = await ControlPlane.open(state, options);
    liveAsChild(state, () => control.close());
    await control.serve();
  } catch (error) {
    if (!leaveRefusal(state, error)) throw error;
    warn(`cannot start: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(CONTROL_REFUSED_EXIT);
  }
}
