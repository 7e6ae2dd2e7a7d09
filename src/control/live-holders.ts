import type { LivePod } from "../identity/authentication/live-pods.ts";
import type { Assignments, SessionHolder } from "../substrate/assignment.ts";

/** Without nodes of their own all pods of a mesh run on one machine. */
const LOCAL_NODE = "local";

/** Who may show a token: pods and ztunnels that live now, each on its node. */
export function liveHolders({ pods, ztunnels = [] }: Assignments): readonly LivePod[] {
  return [
    ...pods.map((pod) => live(pod, pod.network?.node ?? LOCAL_NODE)),
    ...ztunnels.map((ztunnel) => live(ztunnel, ztunnel.node)),
  ];
}

/** Any process of the machine can speak from any of its addresses: that of a pod says nothing about who asks. */
function live({ namespace, name, uid, serviceAccount }: SessionHolder, node: string): LivePod {
  return { namespace, name, uid, serviceAccount, node, addresses: [] };
}
