/**
 * One control of the Pod Security Standards: what a pod must not have at a level, from a version of Kubernetes on.
 * Source: kubernetes.io, "Pod Security Standards", and the admission plugin k8s.io/pod-security-admission, whose ids these are.
 */
import type { FieldPath } from "../../../resources/resource.ts";
import type { WrittenContainer } from "../images/pod-containers.ts";

export type PodSecurityLevel = "baseline" | "restricted";

export type Json = Readonly<Record<string, unknown>>;

/** A pod or pod template, as a control looks at it. */
export interface JudgedPod {
  readonly annotations: Json;
  readonly spec: Json;
  readonly containers: readonly WrittenContainer[];
  /** Where the pod stands in its resource: `["spec", "template"]`. */
  readonly at: FieldPath;
  /** The minor of Kubernetes 1 whose standard is asked for. */
  readonly minor: number;
}

export interface Breach {
  /** From the resource's root. Where a field is missing: where it would stand. */
  readonly path: FieldPath;
  /** What is there: `privileged: true`. */
  readonly text: string;
  /** The container at fault; absent where it is the pod. */
  readonly container?: string;
}

export interface Control {
  readonly id: string;
  readonly level: PodSecurityLevel;
  /** The first minor that has it. */
  readonly since: number;
  /** Controls of baseline that this one, being stricter, stands in for. */
  readonly overrides?: readonly string[];
  check(pod: JudgedPod): Iterable<Breach>;
}

export function asObject(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A place with a securityContext: the pod, or one of its containers. */
export interface Scope {
  readonly context: Json;
  readonly path: FieldPath;
  readonly container?: string;
}

export function podScope({ spec, at }: JudgedPod): Scope {
  return { context: asObject(spec.securityContext), path: [...at, "spec", "securityContext"] };
}

export function containerScopes({ containers }: JudgedPod): readonly Scope[] {
  return containers.map(({ container, path, name }) => ({
    context: asObject(container.securityContext),
    path: [...path, "securityContext"],
    container: name,
  }));
}

export function breach({ path, container }: Scope, steps: FieldPath, text: string): Breach {
  return { path: [...path, ...steps], text, ...(container === undefined ? {} : { container }) };
}

/** From 1.25 on pods that say that they are for Windows are not asked for what Windows has not. */
export function isWindowsPod({ spec, minor }: JudgedPod): boolean {
  return minor >= 25 && asObject(spec.os).name === "windows";
}

/** From 1.35 on: root in a user namespace of its own is nobody outside. */
export function hasUserNamespace({ spec, minor }: JudgedPod): boolean {
  return minor >= 35 && spec.hostUsers === false;
}

/** Whatever is neither absent nor null counts as set: kinds that are not what the schema says are for the API server to refuse. */
export function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}
