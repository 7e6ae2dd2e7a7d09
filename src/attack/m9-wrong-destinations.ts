/** HBONE to where it does not lead. */
import type { PodAssignment } from "../substrate/assignment.ts";
import { ambientPods, verdictOn } from "./ambient-targets.ts";
import type { AttackStep } from "./attack.ts";
import { conclude } from "./conclude.ts";
import { refusalAt } from "./flow-evidence.ts";
import { connectThroughHbone, HBONE_PORT } from "./hbone-connect.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { mayConnect } from "./network-reach.ts";
import { workloadOf } from "./targets.ts";

const ID = "m9";

/** With the certificate of a pod behind a sidecar, which its root has: ambient pods hold none. */
export function wrongDestinations(mesh: MeshUnderAttack): readonly AttackStep[] {
  const holders = mesh.assignments.pods.filter(({ proxied, role }) => proxied && role === "application");
  for (const holder of holders)
    for (const pod of ambientPods(mesh)) {
      const port = pod.applicationPorts[0]?.port;
      if (port === undefined || !mayConnect(mesh, holder, pod, HBONE_PORT)) continue;
      if (!verdictOn(mesh, workloadOf(mesh, pod), pod, port, holder).allowed) continue;
      return destinations(mesh, pod, port).map(([what, authority]) =>
        hboneStep({ mesh, holder, pod, port }, what, authority),
      );
    }
  return [];
}

function destinations(
  mesh: MeshUnderAttack,
  pod: PodAssignment,
  port: number,
): readonly (readonly [string, string])[] {
  const other = mesh.assignments.pods.find(({ address }) => address !== pod.address);
  return [
    ["another pod", `${other?.address ?? "10.244.0.1"}:${port}`],
    ["the pod's loopback", `127.0.0.1:${port}`],
    ["the metadata address", "169.254.169.254:80"],
    ["ztunnel's own port 15008", `${pod.address}:${HBONE_PORT}`],
    ["ztunnel's own port 15001", `${pod.address}:15001`],
    ["ztunnel's own port 15006", `${pod.address}:15006`],
    ["a name", `localhost:${port}`],
  ];
}

interface Tunnel {
  readonly mesh: MeshUnderAttack;
  readonly holder: PodAssignment;
  readonly pod: PodAssignment;
  readonly port: number;
}

function hboneStep({ mesh, holder, pod, port }: Tunnel, what: string, authority: string): AttackStep {
  const step = {
    tried: `HBONE to ${what} (${authority})`,
    from: `${holder.workload} (its certificate)`,
    target: `the ztunnel of ${pod.workload}`,
  };
  const run = async () => {
    const credentials = await mesh.identityOf(holder);
    const control = await connectThroughHbone(holder, pod, credentials, `${pod.address}:${port}`);
    const asked = await connectThroughHbone(holder, pod, credentials, authority);
    const attempt = { ...asked, findRecord: () => refusalAt(mesh, pod.workload, asked.startedAtMs) };
    const promised = {
      allowed: false,
      words: "refused: a tunnel leads to the pod that it came to, and to no port of ztunnel's",
    };
    return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
  };
  return { ...step, run };
}
