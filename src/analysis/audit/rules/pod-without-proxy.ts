import type { AuditContext } from "../audit-context.ts";
import {
  applicationNamespaces,
  DATAPLANE_LABEL,
  INJECT_LABEL,
  INJECTION_LABEL,
} from "../facts/injection-labels.ts";
import { containersOf, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podWithoutProxy: AuditRule = {
  id: "BW0103",
  title: "A pod without a proxy in a namespace that is injected",
  severity: "medium",
  same: { istio: "IST0103" },
  attacks: ["M12"],
  what: 'A running Pod without a container `istio-proxy` in a namespace with `istio-injection: enabled`, that does not opt out itself (`sidecar.istio.io/inject: "false"`) and is not in the host\'s network. Templates of pods are injected when a pod is made of them, so that they are not looked at.',
  why: "It was made before the namespace was labelled, or while the injector was away: it takes plaintext, and no policy is enforced before it.",
  fix: "Restart what owns the pod (`kubectl rollout restart`), and let the injector's webhook fail closed (`failurePolicy: Fail`).",
  claims: ["captured"],
  check: unproxiedPods,
};

function* unproxiedPods(audit: AuditContext): Iterable<Hit> {
  const injected = new Set(
    audit
      .fact(applicationNamespaces)
      .filter(({ labels }) => labels[INJECTION_LABEL] === "enabled" && labels[DATAPLANE_LABEL] !== "ambient")
      .map(({ name }) => name),
  );
  for (const pod of audit.fact(podsOf)) {
    const { resource, namespace, labels, annotations, spec } = pod;
    if (resource.kind !== "Pod" || !injected.has(namespace) || spec.hostNetwork === true) continue;
    if ((labels[INJECT_LABEL] ?? annotations[INJECT_LABEL] ?? "").toLowerCase() === "false") continue;
    if (containersOf(pod).some(({ name, image }) => name === PROXY_CONTAINER && image !== "")) continue;
    yield {
      resource,
      title: `no container \`${PROXY_CONTAINER}\`, though namespace \`${namespace}\` is injected`,
    };
  }
}
