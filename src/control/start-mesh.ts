import { BulwarkError } from "../resources/bulwark-error.ts";
import { suggestion } from "../resources/did-you-mean.ts";
import type { Assignments } from "../substrate/assignment.ts";
import { externalHosts } from "../substrate/external-hosts.ts";
import { loopbackSubstrate } from "../substrate/loopback.ts";
import { netnsSubstrate } from "../substrate/netns/netns.ts";
import type { Substrate } from "../substrate/substrate.ts";
import { ConfigurationKeeper } from "./configuration-keeper.ts";
import { loadConfiguration } from "./load-configuration.ts";
import { MeshRunner } from "./mesh-runner.ts";
import { removeNetwork } from "./netns/pod-network.ts";
import { lockState, readRunBook, removeRunBook, stopLeftovers } from "./run-book.ts";
import type { MeshOptions, MeshRunnerOptions, NotStarted, RunningMesh } from "./running-mesh.ts";
import { createStateFolder, removeSocketFolder, type StateFolder, stateUnusable } from "./state-folder.ts";

/**
 * Brings up a mesh from files and keeps it up.
 * @throws {BulwarkError} BW_STATE_IN_USE, BW_STATE_UNUSABLE, BW_SUBSTRATE_NO_ADDRESS, BW_CA_…, BW_KEYSTORE_….
 */
export async function startMesh(asked: MeshOptions): Promise<RunningMesh | NotStarted> {
  const loaded = await loadConfiguration(asked.sources);
  if (!loaded.ok) return loaded;
  const { simulateExternal = asked.substrate === "netns" && externalHosts(loaded.mesh).size > 0 } = asked;
  const options: MeshRunnerOptions = { ...asked, simulateExternal };
  const state = createStateFolder(options.statePath);
  const release = lockState(state);
  try {
    await endLeftovers(state, options.onEvent);
    const keeper = new ConfigurationKeeper(state, substrateOf(state, options));
    const errors = await keeper.offer(loaded);
    const { current } = keeper;
    if (errors.length > 0 || current === undefined) {
      release();
      return { ok: false, errors, warnings: loaded.warnings };
    }
    refuseUnknownApplications(current.assignments, options.applications);
    const runner = new MeshRunner(state, release, options, current, loaded);
    try {
      await runner.start();
    } catch (error) {
      await runner.stop();
      throw error;
    }
    return runner;
  } catch (error) {
    release();
    throw isOfFolder(error, state) ? stateUnusable(state.root, error) : error;
  }
}

function substrateOf(state: StateFolder, { substrate, simulateExternal }: MeshRunnerOptions): Substrate {
  return substrate === "netns"
    ? netnsSubstrate({ meshId: state.root, simulateExternal })
    : loopbackSubstrate({ meshId: state.root, simulateExternal, fresh: true });
}

/** An error of the file system about something in the state folder: not a bug, but a full disk, a lost right, a broken mount. */
function isOfFolder(error: unknown, { root }: StateFolder): boolean {
  const { syscall, path } = error as Partial<NodeJS.ErrnoException>;
  return syscall !== undefined && path?.startsWith(root) === true;
}

/** @throws {BulwarkError} BW_CLI_INPUT: a slip in a name must not leave the built-in echo in the place of an application. */
function refuseUnknownApplications({ pods }: Assignments, applications: ReadonlyMap<string, string>): void {
  const known = new Set(pods.map(({ workload }) => workload));
  for (const workload of applications.keys()) {
    if (known.has(workload)) continue;
    const help = suggestion(workload, known);
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `the mesh has no workload \`${workload}\` to run an application as${help === "" ? "" : `; ${help}`}`,
    );
  }
}

/** Ends what an `up` that was killed has left running. */
export async function endLeftovers(
  state: StateFolder,
  onEvent: (event: { kind: "leftovers"; names: readonly string[] }) => void,
): Promise<void> {
  const book = readRunBook(state);
  const names = book === undefined ? [] : await stopLeftovers(book);
  const namespaces = await removeNetwork(state);
  if (book !== undefined) {
    removeRunBook(state);
    removeSocketFolder(state);
  }
  if (names.length + namespaces.length > 0) onEvent({ kind: "leftovers", names: [...names, ...namespaces] });
}
