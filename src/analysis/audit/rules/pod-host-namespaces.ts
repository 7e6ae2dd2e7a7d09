import type { AuditContext } from "../audit-context.ts";
import { labelledNamespaces } from "../facts/injection-labels.ts";
import { baselineBreaches, breachHit } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podHostNamespaces: AuditRule = {
  id: "BW0502",
  title: "A pod in the namespaces of its node",
  severity: "medium",
  attacks: ["C1", "M10"],
  what: "`hostPID`, `hostIPC` (`high`), or `hostNetwork` where the namespace is not in the mesh (where it is, BW0811 says so). Kubernetes' own namespaces and Istio's components are left out. Control *Host Namespaces* of the Pod Security Standards.",
  why: "With `hostPID` it sees every process of the node, with its environment, and those of the same user it reads and stops; with `hostIPC` it reads their shared memory; with `hostNetwork` it has the node's addresses and loopback, and sees all traffic.",
  fix: "Remove it. What watches nodes belongs into a namespace of its own.",
  claims: ["host-pid-unused", "host-ipc-unused", "host-network-unused"],
  check: onTheNode,
};

function* onTheNode(audit: AuditContext): Iterable<Hit> {
  const told = audit.fact(labelledNamespaces);
  for (const breach of audit.fact(baselineBreaches)) {
    if (breach.control !== "hostNamespaces") continue;
    const isNetwork = breach.path.at(-1) === "hostNetwork";
    if (isNetwork && told.has(breach.pod.namespace)) continue;
    yield { ...breachHit(breach), ...(isNetwork ? {} : { severity: "high" }) };
  }
}
