import type { AuditContext } from "../audit-context.ts";
import { baselineBreaches, breachHit, meshPodSet } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podCapabilities: AuditRule = {
  id: "BW0504",
  title: "A container with capabilities beyond those of containers",
  severity: "medium",
  attacks: ["C1", "M10"],
  what: "`capabilities.add` with one that the Pod Security Standards do not allow at the level baseline (control *Capabilities*). In pods of the mesh NET_ADMIN, NET_RAW, SYS_ADMIN and ALL are BW0812, at Istio's own containers BW0720. Kubernetes' own namespaces and Istio's components are left out.",
  why: "SYS_PTRACE reads other processes' memory, SYS_MODULE loads code into the kernel, DAC_READ_SEARCH opens any file of the node by its number, NET_RAW poses as a neighbour: most are a way to the node.",
  fix: "Remove it; drop `ALL`, and add none but NET_BIND_SERVICE.",
  claims: ["capabilities-dropped"],
  check: added,
};

const TOLD_IN_MESH = /(NET_ADMIN|NET_RAW|SYS_ADMIN|ALL)$/;

function* added(audit: AuditContext): Iterable<Hit> {
  const inMesh = audit.fact(meshPodSet);
  for (const breach of audit.fact(baselineBreaches))
    if (
      breach.control === "capabilities_baseline" &&
      !(inMesh.has(breach.pod) && TOLD_IN_MESH.test(breach.text))
    )
      yield breachHit(breach);
}
