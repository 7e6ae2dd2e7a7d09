/** Pods in ambient mode, and what the ztunnels before them are to say. */
import type { Workload } from "../model/mesh.ts";
import { compileAmbient, decideAmbient } from "../policy/ambient/ambient-policy.ts";
import { Connection } from "../policy/connection.ts";
import type { Verdict } from "../policy/verdict.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { principalOf } from "./targets.ts";

/** First replicas in ambient mode. */
export function ambientPods({ assignments }: MeshUnderAttack): readonly PodAssignment[] {
  return assignments.pods.filter(
    ({ ambient, role, replica }) => ambient === true && role === "application" && replica === 0,
  );
}

/** What the pod's ztunnel decides about a client, or about one without an identity. */
export function verdictOn(
  mesh: MeshUnderAttack,
  workload: Workload,
  pod: PodAssignment,
  port: number,
  client: PodAssignment | undefined,
): Verdict {
  const connection = new Connection({
    tls: client === undefined ? "plaintext" : "mtls",
    principal: client === undefined ? null : principalOf(client),
    sourceIp: client?.address ?? "127.0.0.1",
    destinationIp: pod.address,
    destinationPort: port,
  });
  return decideAmbient(compileAmbient(mesh.mesh, workload, { semantics: "strict" }), connection);
}
