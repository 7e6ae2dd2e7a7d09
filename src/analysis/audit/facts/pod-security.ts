/** Pods against the Pod Security Standards: what each breaks, but for what is Istio's own to have (BW0720) and what Kubernetes runs itself. */
import type { FieldPath } from "../../../resources/resource.ts";
import { type BrokenControl, brokenControlsOf } from "../../trust/pod-security/check-pod-security.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import { isIstiod, isNodeAgent } from "./istio-components.ts";
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

/** Of the level baseline: what is a way out of a container. */
export function baselineBreaches(audit: AuditContext): readonly PodBreach[] {
  return audit.fact(judgedPods).flatMap((pod) => breachesOf(pod, brokenControlsOf(pod.resource, "baseline")));
}

/** Pods of a namespace that lack the same. */
export interface UnhardenedPods {
  /** Of the first of them. */
  readonly breach: PodBreach;
  /** What is missing, one by one. */
  readonly texts: readonly string[];
  readonly pods: number;
}

export interface RestrictedBreaches {
  readonly asRoot: readonly PodBreach[];
  readonly unhardened: readonly UnhardenedPods[];
}

/** Breaches that are written, rather than missing: rules of their own tell them. */
const AS_ROOT = /^(runAsUser: 0|runAsNonRoot: false)$/;
const TOLD = /^(adds the capability|the volume .* is hostPath$|seccompProfile\.type|procMount)/;

/** Of the level restricted alone: what hardening is missing. Of 10,000 pods' breaches each would be 20 MB: what is alike is kept once. */
export function restrictedBreaches(audit: AuditContext): RestrictedBreaches {
  const asRoot: PodBreach[] = [];
  const unhardened = new Map<string, { breach: PodBreach; texts: readonly string[]; pods: number }>();
  for (const pod of audit.fact(judgedPods)) {
    const broken = brokenControlsOf(pod.resource, "restricted").filter(({ level }) => level === "restricted");
    const breaches = breachesOf(pod, broken);
    asRoot.push(...breaches.filter(({ text }) => AS_ROOT.test(text)));
    const missing = breaches.filter(({ text }) => !AS_ROOT.test(text) && !TOLD.test(text));
    const [first] = missing;
    if (first === undefined) continue;
    const gains = missing.find(writesEscalation);
    const texts = [...new Set(missing.map(({ text }) => text))];
    const key = JSON.stringify([pod.namespace, gains !== undefined, texts]);
    const known = unhardened.get(key);
    if (known === undefined) unhardened.set(key, { breach: gains ?? first, texts, pods: 1 });
    else known.pods += 1;
  }
  return { asRoot, unhardened: [...unhardened.values()] };
}

/** `allowPrivilegeEscalation: true`, as it is written. */
export function writesEscalation({ pod, path, control }: PodBreach): boolean {
  if (control !== "allowPrivilegeEscalation") return false;
  let value: unknown = pod.resource.body;
  for (const step of path) value = (value as Readonly<Record<string | number, unknown>> | undefined)?.[step];
  return value === true;
}

/** Without Kubernetes' own namespaces, and without Istio's components. */
export function judgedPods(audit: AuditContext): readonly AuditedPod[] {
  return audit
    .fact(podsOf)
    .filter(
      (pod) =>
        !pod.namespace.startsWith("kube-") && !isControlPlane(pod) && !isIstiod(pod) && !isNodeAgent(pod),
    );
}

function breachesOf(pod: AuditedPod, broken: readonly BrokenControl[]): readonly PodBreach[] {
  return broken.flatMap(({ control, breaches }) =>
    breaches
      .filter(({ container }) => container === undefined || !ISTIOS_CONTAINERS.has(container))
      .map((breach) => ({ pod, control, ...breach })),
  );
}

/** Pods before which a proxy stands, for which other rules speak of what leads past it. On its node's network there is none, whatever labels say. */
export function meshPodSet(audit: AuditContext): ReadonlySet<AuditedPod> {
  const pods = [...audit.fact(podsInMesh).values()].flat();
  return new Set(pods.filter(({ spec }) => spec.hostNetwork !== true));
}

const FIELD = /^\S+: /;

export function breachHit({ pod, path, text, container }: PodBreach): Hit {
  const who = container === undefined ? "the pod" : `container \`${container}\``;
  return { resource: pod.resource, path, title: `${who}: ${FIELD.test(text) ? `\`${text}\`` : text}` };
}
