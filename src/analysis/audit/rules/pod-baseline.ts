import type { AuditContext } from "../audit-context.ts";
import { baselineBreaches, breachHit } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podBaseline: AuditRule = {
  id: "BW0505",
  title: "A pod that breaks the Pod Security Standards' baseline",
  severity: "medium",
  attacks: ["C1", "C6"],
  what: "What the level baseline forbids besides privileges, host namespaces, host paths and capabilities, which have rules of their own (BW0501 to BW0504): AppArmor, SELinux or seccomp switched off or weakened, `procMount: Unmasked`, sysctls that are not of the pod alone, Windows host processes (`high`), ports of the node (`hostPort`, `low`), probes and hooks that ask another host (`low`). The newest standard that is known (Kubernetes 1.37). Kubernetes' own namespaces and Istio's components are left out.",
  why: "Each takes away a wall between the container and its node, or, with a port of the node, opens it past gateways and, where the CNI plugin says so, past NetworkPolicies.",
  fix: "Remove the field; the default is what the standard asks for.",
  claims: ["baseline-kept", "host-process-unused", "host-ports-unused", "seccomp-set"],
  check: broken,
};

const OWN_RULES: ReadonlySet<string> = new Set([
  "privileged",
  "hostNamespaces",
  "hostPathVolumes",
  "capabilities_baseline",
]);
const WEIGHTS: ReadonlyMap<string, "high" | "low"> = new Map([
  ["windowsHostProcess", "high"],
  ["hostPorts", "low"],
  ["hostProbesAndHostLifecycle", "low"],
]);

function* broken(audit: AuditContext): Iterable<Hit> {
  for (const breach of audit.fact(baselineBreaches)) {
    if (OWN_RULES.has(breach.control)) continue;
    const hit = breachHit(breach);
    const severity = WEIGHTS.get(breach.control);
    yield {
      ...hit,
      title: `${hit.title} (control \`${breach.control}\`)`,
      ...(severity === undefined ? {} : { severity }),
    };
  }
}
