/** Pods against the Pod Security Standards: what each breaks, but for what is Istio's own to have (BW0720) and what Kubernetes runs itself. */
import type { FieldPath } from "../../../resources/resource.ts";
import { type BrokenControl, brokenControlsOf } from "../../trust/pod-security/check-pod-security.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import { type AuditedPod, isControlPlane, podsOf } from "./pods.ts";
import { podsInMesh } from "./pods-in-mesh.ts";

export interface PodBreach {
  readonly pod: AuditedPod;
  /** As Kubernetes' admission names it: `hostNamespaces`. */
  readonly control: string;
  readonly path: FieldPath;
  /** `privileged: true` */
  readonly text: string;
  readonly container?: string;
}

const ISTIOS_CONTAINERS: ReadonlySet<string> = new Set(["istio-proxy", "istio-init", "istio-validation"]);
const ISTIOS_AGENTS: ReadonlySet<string> = new Set(["ztunnel", "istio-cni-node"]);

/** Of the level baseline: what is a way out of a container. */
export function baselineBreaches(audit: AuditContext): readonly PodBreach[] {
  return audit.fact(judgedPods).flatMap((pod) => breachesOf(pod, brokenControlsOf(pod.resource, "baseline")));
}

/** Of the level restricted alone: what hardening is missing. */
export function restrictedBreaches(audit: AuditContext): readonly PodBreach[] {
  return audit.fact(judgedPods).flatMap((pod) =>
    breachesOf(
      pod,
      brokenControlsOf(pod.resource, "restricted").filter(({ level }) => level === "restricted"),
    ),
  );
}

/** Without Kubernetes' own namespaces, and without Istio's components. */
export function judgedPods(audit: AuditContext): readonly AuditedPod[] {
  return audit
    .fact(podsOf)
    .filter(
      (pod) =>
        !pod.namespace.startsWith("kube-") && !isControlPlane(pod) && !ISTIOS_AGENTS.has(pod.resource.name),
    );
}

function breachesOf(pod: AuditedPod, broken: readonly BrokenControl[]): readonly PodBreach[] {
  return broken.flatMap(({ control, breaches }) =>
    breaches
      .filter(({ container }) => container === undefined || !ISTIOS_CONTAINERS.has(container))
      .map((breach) => ({ pod, control, ...breach })),
  );
}

/** Pods of the mesh, for which other rules speak of what leads past the proxy. */
export function meshPodSet(audit: AuditContext): ReadonlySet<AuditedPod> {
  return new Set([...audit.fact(podsInMesh).values()].flat());
}

const FIELD = /^\S+: /;

export function breachHit({ pod, path, text, container }: PodBreach): Hit {
  const who = container === undefined ? "the pod" : `container \`${container}\``;
  return { resource: pod.resource, path, title: `${who}: ${FIELD.test(text) ? `\`${text}\`` : text}` };
}
