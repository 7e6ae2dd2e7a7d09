/** Which pods are Istio's own: the control plane, and gateways. */
import type { Workload } from "../../../model/mesh.ts";
import { isAdded } from "../../../resources/added-at.ts";
import type { AuditContext } from "../audit-context.ts";

/** By the labels that Istio's charts set. */
export function isIstiod({ labels }: Pick<Workload, "labels">): boolean {
  return labels.app === "istiod" || labels.istio === "pilot" || labels["app.kubernetes.io/name"] === "istiod";
}

/** ztunnel and the CNI plugin, which run on every node. */
export function isNodeAgent({ labels }: Pick<Workload, "labels">): boolean {
  return (
    labels.app === "ztunnel" ||
    [labels.app, labels["k8s-app"]].some((app) => app?.startsWith("istio-cni") === true)
  );
}

export function istiods({ mesh }: AuditContext): readonly Workload[] {
  return mesh.workloads.filter(isIstiod);
}

/** Those that take in, or let out, what crosses the mesh's edge; waypoints are inside. Gateways that no file has, and that are only supposed to be there, are left out. */
export function gateways({ mesh }: AuditContext): readonly Workload[] {
  return mesh.workloads.filter(({ role, resource }) => role === "gateway" && !isAdded(resource));
}
