/** Where a resource says what pods are made from it. */
import type { Resource } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";

type Json = Readonly<Record<string, unknown>>;

/** Kinds with a pod template. A kind of the same name in another group is none of ours. */
const TEMPLATE_KINDS: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  Deployment: "apps",
  StatefulSet: "apps",
  DaemonSet: "apps",
  ReplicaSet: "apps",
  ReplicationController: "",
  Job: "batch",
  CronJob: "batch",
});

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
  if (TEMPLATE_KINDS[kind] !== group) return undefined;
  const isCron = kind === "CronJob";
  const spec = record(isCron ? record(record(body.spec).jobTemplate).spec : body.spec);
  const at = isCron ? ["spec", "jobTemplate", "spec", "template"] : ["spec", "template"];
  return { at, pod: record(spec.template), owner: spec };
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
