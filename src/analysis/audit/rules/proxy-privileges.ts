import { excessesOf } from "../../trust/pod-security/proxy-privileges.ts";
import type { AuditContext } from "../audit-context.ts";
import { containersOf, podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const proxyPrivileges: AuditRule = {
  id: "BW0720",
  title: "A proxy with more rights than it needs",
  severity: "high",
  attacks: ["C2", "C3", "C5"],
  what: "Containers of Istio (`istio-proxy`, `istio-init`, `istio-validation`, ztunnel, the CNI plugin) that are privileged, add capabilities, keep the runtime's default ones, may gain rights or run as root, beyond what they need, which is what Istio's charts give them: NET_ADMIN and NET_RAW to `istio-init`; NET_ADMIN and root to a proxy that intercepts with TPROXY; NET_ADMIN, NET_RAW and SYS_ADMIN to ztunnel; SYS_PTRACE and DAC_OVERRIDE besides to the CNI plugin. Pods that Istio's bare templates for gateways and gRPC made keep the runtime's defaults, which counts. What the injector fills in later (image `auto`) counts only where the file says otherwise.",
  why: "The proxy reads what anybody sends it. Whoever takes it over has its rights: with these, those of the node or of its network.",
  fix: "Set what Istio's charts set: `privileged: false`, `allowPrivilegeEscalation: false`, `capabilities: {drop: [ALL]}`, `runAsNonRoot: true`, `runAsUser: 1337`; or have the rules of capture made by the CNI plugin, so that pods need none.",
  claims: ["proxies-least-privilege"],
  check: overPrivileged,
};

function* overPrivileged(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf))
    for (const container of containersOf(pod)) {
      const excesses = excessesOf(container, pod.annotations);
      const [first] = excesses;
      if (first === undefined) continue;
      yield {
        resource: pod.resource,
        path: [...container.path, "securityContext", ...first.steps],
        severity: excesses.some(({ isGrave }) => isGrave) ? "high" : "medium",
        title: `container \`${container.name}\` ${excesses.map(({ text }) => text).join(", ")}`,
      };
    }
}
