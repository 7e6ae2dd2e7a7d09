/** Compares pods with the Pod Security Standards: all that they break, with where it stands. */
import { podOf } from "../../../model/written-pod.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import { containersOfPod } from "../images/pod-containers.ts";
import { BASELINE_CONTROLS } from "./baseline.ts";
import { asObject, type Breach, type Control, type Json, type PodSecurityLevel } from "./control.ts";
import { RESTRICTED_CONTROLS } from "./restricted.ts";

/** The newest standard that these controls are of: Kubernetes 1.37. */
export const LATEST_STANDARD_MINOR = 37;

export interface BrokenControl {
  /** As the admission plugin names it: `hostNamespaces`. */
  readonly control: string;
  /** The lowest level that forbids it. */
  readonly level: PodSecurityLevel;
  readonly breaches: readonly [Breach, ...Breach[]];
}

/**
 * @param minor of Kubernetes 1, whose standard is meant; later than the newest known one counts as that
 * @returns nothing for resources that make no pods
 */
export function brokenControlsOf(
  resource: Resource,
  level: PodSecurityLevel,
  minor = LATEST_STANDARD_MINOR,
): readonly BrokenControl[] {
  const own = podOf(resource);
  return own === undefined ? [] : brokenControls(own.pod, own.at, level, minor);
}

/** @param at where the pod stands in its resource */
export function brokenControls(
  pod: Json,
  at: FieldPath,
  level: PodSecurityLevel,
  minor = LATEST_STANDARD_MINOR,
): readonly BrokenControl[] {
  const judged = {
    annotations: asObject(asObject(pod.metadata).annotations),
    spec: asObject(pod.spec),
    containers: containersOfPod(pod, at),
    at,
    minor: Math.min(minor, LATEST_STANDARD_MINOR),
  };
  return controlsOf(level, judged.minor).flatMap((control) => {
    const [first, ...others] = control.check(judged);
    return first === undefined
      ? []
      : [{ control: control.id, level: control.level, breaches: [first, ...others] as const }];
  });
}

function controlsOf(level: PodSecurityLevel, minor: number): readonly Control[] {
  const all = level === "baseline" ? BASELINE_CONTROLS : [...BASELINE_CONTROLS, ...RESTRICTED_CONTROLS];
  const inForce = all.filter(({ since }) => since <= minor);
  const overridden = new Set(inForce.flatMap(({ overrides = [] }) => overrides));
  return inForce.filter(({ id }) => !overridden.has(id));
}
