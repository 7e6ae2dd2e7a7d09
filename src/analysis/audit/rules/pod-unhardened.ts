import type { AuditContext } from "../audit-context.ts";
import { type PodBreach, restrictedBreaches } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podUnhardened: AuditRule = {
  id: "BW0507",
  title: "A pod that leaves its containers what they do not need",
  severity: "low",
  attacks: ["C1"],
  what: "What the level restricted of the Pod Security Standards asks for and the pod does not say: `allowPrivilegeEscalation: false`, `capabilities: {drop: [ALL]}`, `runAsNonRoot: true`, a `seccompProfile`, volumes of the cluster alone. One finding a pod, which names what is missing and in how many containers; `medium` where `allowPrivilegeEscalation: true` is written. What other rules tell (BW0501 to BW0506, BW0720, BW0812) is not told again; Kubernetes' own namespaces and Istio's components are left out.",
  why: "Nothing is open by this alone. It is what whoever runs code in the container makes use of next: programs with the set-user-ID bit, raw sockets, system calls that nobody needs.",
  fix: "Set the four fields (`kubectl label namespace … pod-security.kubernetes.io/enforce=restricted` has them asked for).",
  claims: ["pods-restricted", "capabilities-dropped", "seccomp-set"],
  check: unhardened,
};

/** Breaches that are written, rather than missing: other rules tell them. */
const WRITTEN =
  /^(runAsUser: 0|runAsNonRoot: false|adds the capability|the volume .* is hostPath$|seccompProfile\.type|procMount)/;

function* unhardened(audit: AuditContext): Iterable<Hit> {
  const missing = audit.fact(restrictedBreaches).filter(({ text }) => !WRITTEN.test(text));
  for (const [pod, breaches] of Map.groupBy(missing, (breach) => breach.pod)) {
    const [first] = breaches;
    if (first === undefined) continue;
    const gains = breaches.find(writesEscalation);
    yield {
      resource: pod.resource,
      path: (gains ?? first).path,
      title: [...Map.groupBy(breaches, ({ text }) => text)]
        .map(([text, where]) => `${text}${where.length > 1 ? ` (${where.length} containers)` : ""}`)
        .join("; "),
      ...(gains === undefined ? {} : { severity: "medium" }),
    };
  }
}

function writesEscalation({ pod, path, control }: PodBreach): boolean {
  if (control !== "allowPrivilegeEscalation") return false;
  let value: unknown = pod.resource.body;
  for (const step of path) value = (value as Readonly<Record<string | number, unknown>> | undefined)?.[step];
  return value === true;
}
