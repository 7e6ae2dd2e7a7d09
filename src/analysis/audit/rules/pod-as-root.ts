import type { AuditContext } from "../audit-context.ts";
import { breachHit, restrictedBreaches } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podAsRoot: AuditRule = {
  id: "BW0506",
  title: "A container that is told to run as root",
  severity: "medium",
  attacks: ["C1"],
  what: "`runAsUser: 0` or `runAsNonRoot: false`, on a pod or a container, as it is written (where nothing is said, see BW0507). A pod with a user namespace of its own (`hostUsers: false`) is root of nothing and left out, as are Kubernetes' own namespaces and Istio's containers.",
  why: "Root in a container is root to the kernel: what is mounted it writes, and a fault in the runtime or the kernel is the node.",
  fix: "Run as a user of its own, with `runAsNonRoot: true`; for low ports add NET_BIND_SERVICE.",
  claims: ["pods-restricted"],
  check: rooted,
};

function* rooted(audit: AuditContext): Iterable<Hit> {
  for (const breach of audit.fact(restrictedBreaches).asRoot) yield breachHit(breach);
}
