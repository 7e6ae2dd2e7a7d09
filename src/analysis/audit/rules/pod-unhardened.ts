import type { AuditContext } from "../audit-context.ts";
import { restrictedBreaches, writesEscalation } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podUnhardened: AuditRule = {
  id: "BW0507",
  title: "A pod that leaves its containers what they do not need",
  severity: "low",
  attacks: ["C1"],
  what: "What the level restricted of the Pod Security Standards asks for and the pod does not say: `allowPrivilegeEscalation: false`, `capabilities: {drop: [ALL]}`, `runAsNonRoot: true`, a `seccompProfile`, volumes of the cluster alone. One finding for all pods of a namespace that lack the same, at the first of them, where it is accepted for all; `medium` where `allowPrivilegeEscalation: true` is written. What other rules tell (BW0501 to BW0506, BW0720, BW0812) is not told again; Kubernetes' own namespaces and Istio's components are left out.",
  why: "Nothing is open by this alone. It is what whoever runs code in the container makes use of next: programs with the set-user-ID bit, raw sockets, system calls that nobody needs.",
  fix: "Set the four fields (`kubectl label namespace … pod-security.kubernetes.io/enforce=restricted` has them asked for).",
  claims: ["pods-restricted", "capabilities-dropped", "seccomp-set"],
  check: unhardened,
};

function* unhardened(audit: AuditContext): Iterable<Hit> {
  for (const { breach, texts, pods } of audit.fact(restrictedBreaches).unhardened) {
    const { pod, path } = breach;
    const others =
      pods === 1 ? "" : `; ${pods - 1} more of \`${pod.namespace}\` ${pods === 2 ? "is" : "are"} alike`;
    yield {
      resource: pod.resource,
      path,
      title: `${texts.join("; ")}${others}`,
      ...(writesEscalation(breach) ? { severity: "medium" } : {}),
    };
  }
}
