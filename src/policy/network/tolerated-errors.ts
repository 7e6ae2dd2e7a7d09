import type { Diagnostic } from "../../resources/diagnostic.ts";
import { apiGroup } from "../../resources/scope.ts";
import { isNetworkPolicy } from "./network-policies.ts";

/** Kinds of which a map reads names, labels, ports and addresses, each of whatever type it is. */
const READ_LOOSELY: ReadonlySet<string> = new Set([
  "/Namespace",
  "/Pod",
  "/Service",
  "/ReplicationController",
  "apps/Deployment",
  "apps/StatefulSet",
  "apps/DaemonSet",
  "apps/ReplicaSet",
  "batch/Job",
  "batch/CronJob",
  "networking.k8s.io/Ingress",
]);

/** A selector that the CRD wants written, which says nothing else where it is left out. */
const SELECTOR_LEFT_OUT = /\.pods\.(pod|namespace)Selector` is required$/;

/** A name of a port means nothing at an address: such a rule is narrower than written, never wider. */
const NAMED_PORT_OUTSIDE = /have no named ports$/;

/**
 * Errors that make no difference to who can connect to whom, in files that were made for other tools or by older clusters: all of a workload or
 * Service; of a policy its name, and a selector that is left out for an empty one.
 */
export function toleratesForMap(
  object: { readonly apiVersion: string; readonly kind: string },
  errors: readonly Diagnostic[],
): boolean {
  if (READ_LOOSELY.has(`${apiGroup(object.apiVersion)}/${object.kind}`)) return true;
  if (!isNetworkPolicy(object)) return false;
  return errors.every(
    ({ code, message }) =>
      code === "BW1109_BAD_NAME" ||
      (code === "BW1104_MISSING_FIELD" && SELECTOR_LEFT_OUT.test(message)) ||
      (code === "BW1250_ADMIN_NETWORK_POLICY" && NAMED_PORT_OUTSIDE.test(message)),
  );
}
