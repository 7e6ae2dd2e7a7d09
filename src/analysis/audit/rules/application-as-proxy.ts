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
  what: "`runAsUser: 1337` or `runAsGroup: 1337` on a pod, or on a container other than `istio-proxy`, init containers among them. Istio's own pods (label `istio`, or `release: istio`) and pods with no container but the proxy (gateways) are left out.",
  why: "What the user or the group 1337 sends is not captured, so that the proxy's own traffic does not run in circles: the application speaks past its sidecar, past every policy of the mesh and past its egress rules.",
  fix: "Choose another user, or group.",
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
      title: `${[...new Set(users.map(({ who }) => who))].join(" and ")} ${users.length === 1 ? "runs" : "run"} as ${PROXY_UID}, the proxy's ${[...new Set(users.map(({ what }) => what))].join(" and ")}`,
    };
  }
}

/** It has no application, and nothing is captured before it. */
function isGateway(pod: AuditedPod): boolean {
  const running = containersOf(pod).filter(({ role }) => role === "containers");
  return running.length > 0 && running.every(({ name }) => name === PROXY_CONTAINER);
}

function usersOf(pod: AuditedPod) {
  const own = containersOf(pod).filter(({ name }) => !ISTIOS_OWN.has(name));
  const contexts = [
    { who: "the pod", context: pod.spec.securityContext, path: pod.at },
    ...own.map(({ name, container, path }) => ({
      who: `container \`${name}\``,
      context: container.securityContext,
      path,
    })),
  ];
  return contexts.flatMap(({ who, context, path }) =>
    FIELDS.map(([field, what]) => ({
      who,
      what,
      user: fieldsOf(context)[field],
      path: [...path, "securityContext", field],
    })),
  );
}

/** Both are left out by istio-iptables (`--uid-owner`, `--gid-owner`). */
const FIELDS = [
  ["runAsUser", "user"],
  ["runAsGroup", "group"],
] as const;
