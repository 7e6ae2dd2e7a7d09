import { AMBIENT_NOT_RUN, WAYPOINTS_NOT_RUN } from "../../resources/coverage-table.ts";
import type { Diagnostic } from "../../resources/diagnostic.ts";

const KINDS = ["NetworkPolicy ", "AdminNetworkPolicy ", "BaselineAdminNetworkPolicy "];
const AMBIENT_NOTES = [AMBIENT_NOT_RUN, WAYPOINTS_NOT_RUN, "class `istio-waypoint` is of ambient mode"];

/** What has an effect where pods are network namespaces, of what is noted elsewhere to have none: network policies, ambient mode, waypoints. */
export function notesInNamespaces(notes: readonly Diagnostic[]): readonly Diagnostic[] {
  return notes.filter(
    ({ resource = "", message }) =>
      !KINDS.some((kind) => resource.startsWith(kind)) &&
      !AMBIENT_NOTES.some((note) => message.includes(note)),
  );
}
