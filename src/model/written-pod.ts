/** Where a resource says what pods are made from it. */
import type { Resource } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * Kinds with a pod template, and their groups: a kind of the same name in another group is none of ours. Of those that are not Kubernetes' own, the
 * ones whose controllers make pods of the template as it stands: Argo Rollouts, OpenKruise, OpenShift.
 */
const TEMPLATE_KINDS: Readonly<Record<string, readonly string[]>> = Object.assign(Object.create(null), {
  Deployment: ["apps"],
  StatefulSet: ["apps", "apps.kruise.io"],
  DaemonSet: ["apps", "apps.kruise.io"],
  ReplicaSet: ["apps"],
  ReplicationController: [""],
  Job: ["batch"],
  CronJob: ["batch"],
  Rollout: ["argoproj.io"],
  CloneSet: ["apps.kruise.io"],
  DeploymentConfig: ["apps.openshift.io"],
});
const OWN_GROUPS: ReadonlySet<string> = new Set(["", "apps", "batch"]);

export interface WrittenPod {
  /** Where it stands in the resource. */
  readonly at: readonly string[];
  readonly pod: Json;
  readonly owner: Json;
}

/** The pod that a resource is, or has a template of. */
export function podOf({ apiVersion, kind, body }: Resource): WrittenPod | undefined {
  const group = apiGroup(apiVersion);
  if (kind === "Pod" && group === "") return { at: [], pod: body, owner: body };
  if (TEMPLATE_KINDS[kind]?.includes(group) !== true) return undefined;
  const isCron = kind === "CronJob";
  const spec = record(isCron ? record(record(body.spec).jobTemplate).spec : body.spec);
  const at = isCron ? ["spec", "jobTemplate", "spec", "template"] : ["spec", "template"];
  const pod = record(spec.template);
  if (!OWN_GROUPS.has(group) && !isWhole(pod, spec)) return undefined;
  return { at, pod, owner: spec };
}

/** A Rollout may have its template in a Deployment (`workloadRef`). */
function isWhole(template: Json, spec: Json): boolean {
  const { containers } = record(template.spec);
  return Array.isArray(containers) && containers.length > 0 && !hasPassingLabels(spec);
}

/** Whether pods have labels for a time alone, so that no file says what selects them. @param spec a Rollout's */
export function hasPassingLabels({ strategy }: Json): boolean {
  const { canary, blueGreen } = record(strategy);
  return [record(canary), record(blueGreen)].some((own) =>
    PASSING.some((field) => record(own[field]).labels !== undefined),
  );
}

/** @see https://argo-rollouts.readthedocs.io/en/stable/features/ephemeral-metadata/ */
const PASSING = ["canaryMetadata", "stableMetadata", "activeMetadata", "previewMetadata"] as const;

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
