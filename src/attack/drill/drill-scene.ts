/** Who is robbed in a drill, whom the leaked key is used on, and from where. */
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type PodAssignment, podKey } from "../../substrate/assignment.ts";
import type { MeshUnderAttack } from "../mesh-under-attack.ts";
import { mayConnect } from "../network-reach.ts";
import { pastSidecar } from "../position.ts";
import {
  type AllowedCall,
  allowedCall,
  attackers,
  type HttpTarget,
  httpTargets,
  serviceAuthority,
} from "../targets.ts";
import type { Address } from "../wire.ts";

/** No pod's: the loopback substrate leaves 127.0/16 to others. */
const ATTACKER_ADDRESS = "127.0.0.66";

/** What a drill needs of a mesh: someone to be robbed, and someone whom that one may call. */
export interface Scene {
  readonly victim: PodAssignment;
  readonly target: HttpTarget;
  readonly call: AllowedCall;
  readonly thief: Thief;
}

/** Where the leaked key is used: nobody's address on loopback, another workload's pod where pods are network namespaces. */
interface Thief {
  readonly name: string;
  readonly from: Pick<Address, "localAddress" | "inside">;
}

/** @throws {BulwarkError} BW_CLI_INPUT */
export function sceneOf(mesh: MeshUnderAttack, workload: string | undefined): Scene {
  const candidates = attackers(mesh).filter((pod) => workload === undefined || pod.workload === workload);
  if (candidates.length === 0)
    throw new BulwarkError("BW_CLI_INPUT", `the mesh has no workload \`${workload ?? ""}\` with a sidecar`);
  for (const victim of candidates)
    for (const target of httpTargets(mesh)) {
      if (target.pod.spiffeId === victim.spiffeId || serviceAuthority(mesh, target) === undefined) continue;
      const call = allowedCall(mesh, target, [victim]);
      const thief = call === undefined ? undefined : thiefFor(mesh, victim, target);
      if (call !== undefined && thief !== undefined) return { victim, target, call, thief };
    }
  const who = workload === undefined ? "no workload" : `\`${workload}\``;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    `${who} may not call any HTTP port of another, which a thief reaches too: a leaked key would be of no use to show`,
  );
}

/** @returns undefined where network policies keep every other workload's pod from the target. */
function thiefFor(mesh: MeshUnderAttack, victim: PodAssignment, target: HttpTarget): Thief | undefined {
  if (mesh.wire === undefined) return { name: ATTACKER_ADDRESS, from: { localAddress: ATTACKER_ADDRESS } };
  const other = mesh.assignments.pods.find(
    (pod) =>
      pod !== target.pod &&
      pod.spiffeId !== victim.spiffeId &&
      mayConnect(mesh, pod, target.pod, target.port),
  );
  return other === undefined
    ? undefined
    : { name: `${podKey(other)} (${other.address})`, from: pastSidecar(other) };
}
