import type { AuditContext } from "../audit-context.ts";
import { meshPodSet } from "../facts/pod-security.ts";
import { containersOf, isControlPlane } from "../facts/pods.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const applicationNetworkRights: AuditRule = {
  id: "BW0812",
  title: "An application that can switch off its own capture",
  severity: "high",
  attacks: ["M12", "E1"],
  what: "A container of a pod in the mesh that is privileged or adds NET_ADMIN, SYS_ADMIN or ALL; `medium` where it adds NET_RAW alone. Istio's own containers (`istio-proxy`, `istio-init`, `istio-validation`) are BW0720.",
  why: "With NET_ADMIN it removes the rules that lead its traffic to the sidecar, and goes past every policy of the mesh, both ways. With NET_RAW it sends packets that no rule redirects, and poses as its neighbours.",
  fix: "Drop all capabilities, and add what the application needs; what has to change the network goes to a pod outside of the mesh.",
  claims: ["captured", "net-raw-dropped", "pods-restricted"],
  check: overprivileged,
};

const ISTIOS_OWN = new Set(["istio-proxy", "istio-init", "istio-validation", "discovery"]);
const GRAVE = new Set(["NET_ADMIN", "SYS_ADMIN", "ALL"]);

function* overprivileged(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(meshPodSet)) {
    if (isControlPlane(pod)) continue;
    for (const { name, container, path } of containersOf(pod)) {
      if (ISTIOS_OWN.has(name)) continue;
      const { privileged, capabilities } = fieldsOf(container.securityContext);
      const added = textsOf(fieldsOf(capabilities).add).map((one) => one.replace(/^CAP_/, "").toUpperCase());
      const rights =
        privileged === true ? ["privileged"] : added.filter((one) => GRAVE.has(one) || one === "NET_RAW");
      if (rights.length === 0) continue;
      const isGrave = privileged === true || rights.some((one) => GRAVE.has(one));
      yield {
        resource: pod.resource,
        path: [
          ...path,
          "securityContext",
          ...(privileged === true ? ["privileged"] : ["capabilities", "add"]),
        ],
        ...(isGrave ? {} : { severity: "medium" as const }),
        title: `container \`${name}\` is given ${rights.map((one) => `\`${one}\``).join(", ")}`,
      };
    }
  }
}
