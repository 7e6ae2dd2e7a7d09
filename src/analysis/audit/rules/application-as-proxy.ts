import type { AuditContext } from "../audit-context.ts";
import { type AuditedPod, containersOf, isControlPlane, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import { fieldsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const applicationAsProxy: AuditRule = {
  id: "BW0144",
  title: "An application that runs as the proxy's user",
  severity: "high",
  same: { istio: "IST0144" },
  attacks: ["M12", "E1"],
  what: "`runAsUser: 1337` on a pod, or on a container other than `istio-proxy`, init containers among them. Istio's own pods (label `istio`, or `release: istio`) and pods with no container but the proxy (gateways) are left out.",
  why: "What the user 1337 sends is not captured, so that the proxy's own traffic does not run in circles: the application speaks past its sidecar, past every policy of the mesh and past its egress rules.",
  fix: "Choose another user.",
  claims: ["captured"],
  check: disguised,
};

/** The proxy's, in Istio's images and in its capture rules. */
const PROXY_UID = 1337;
const ISTIOS_OWN = new Set([PROXY_CONTAINER, "istio-operator"]);

function* disguised(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf)) {
    if (isControlPlane(pod.resource) || isGateway(pod)) continue;
    const users = usersOf(pod).filter(({ user }) => user === PROXY_UID);
    const [first] = users;
    if (first === undefined) continue;
    yield {
      resource: pod.resource,
      path: first.path,
      title: `${users.map(({ who }) => who).join(" and ")} ${users.length === 1 ? "runs" : "run"} as ${PROXY_UID}, the proxy's user`,
    };
  }
}

/** It has no application, and nothing is captured before it. */
function isGateway(pod: AuditedPod): boolean {
  const running = containersOf(pod).filter(({ role }) => role === "containers");
  return running.length > 0 && running.every(({ name }) => name === PROXY_CONTAINER);
}

function usersOf(pod: AuditedPod) {
  const user = (context: unknown): unknown => fieldsOf(context).runAsUser;
  const own = containersOf(pod).filter(({ name }) => !ISTIOS_OWN.has(name));
  return [
    { who: "the pod", user: user(pod.spec.securityContext), path: [...pod.at, ...FIELD] },
    ...own.map(({ name, container, path }) => ({
      who: `container \`${name}\``,
      user: user(container.securityContext),
      path: [...path, ...FIELD],
    })),
  ];
}

const FIELD = ["securityContext", "runAsUser"];
