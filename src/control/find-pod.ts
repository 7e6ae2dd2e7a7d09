import { BulwarkError } from "../resources/bulwark-error.ts";
import { suggestion } from "../resources/did-you-mean.ts";
import type { Assignments, PodAssignment } from "../substrate/assignment.ts";
import { connectAdmin } from "./control-link.ts";
import type { StateFolder } from "./state-folder.ts";

/**
 * A replica of a workload of the running mesh.
 * @throws {BulwarkError} BW_CONTROL_UNREACHABLE when no mesh runs there; BW_CLI_INPUT when it has no such workload or replica.
 */
export async function findPod(
  state: StateFolder,
  workload: string,
  replica: number,
): Promise<{ readonly pod: PodAssignment; readonly assignments: Assignments }> {
  const peer = await connectAdmin(state);
  try {
    const assignments = (await peer.request("pods", {}, 10_000)) as Assignments;
    return { pod: choosePod(assignments, workload, replica), assignments };
  } finally {
    peer.close();
  }
}

/** As {@link findPod}, of assignments that are at hand. */
export function choosePod(assignments: Assignments, workload: string, replica: number): PodAssignment {
  const replicas = assignments.pods.filter((pod) => pod.workload === workload);
  const pod = replicas.find((candidate) => candidate.replica === replica);
  if (pod !== undefined) return pod;
  const known = [...new Set(assignments.pods.map((candidate) => candidate.workload))];
  if (replicas.length > 0) {
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `${workload} has replicas 0 to ${replicas.length - 1}, not ${replica}`,
    );
  }
  const help = suggestion(workload, known) || `the mesh has ${known.join(", ")}`;
  throw new BulwarkError("BW_CLI_INPUT", `no workload \`${workload}\` runs in this mesh; ${help}`);
}

/** Whether stand-ins play the hosts outside of this mesh. */
export function simulatesExternal(assignments: Assignments): boolean {
  return assignments.standIns.length > 0;
}
