import type { Labels } from "./mesh.ts";

/** Kubernetes' equality selector: every label named must be there with that value. An empty selector matches all. */
export function matchesLabels(selector: Labels, labels: Labels): boolean {
  for (const key in selector) if (labels[key] !== selector[key]) return false;
  return true;
}
