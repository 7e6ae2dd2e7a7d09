/** What this program's namespaces are called: nothing else of the machine is ever touched. */

/** Where iproute2 keeps named namespaces. */
export const NETNS_FOLDER = "/run/netns";
/** Handles of the pods' user namespaces, which iproute2 knows nothing of. */
export const USERNS_FOLDER = "/run/bulwark";

const PREFIX = "bw";

/** @param part a pod's slot, `fabric` or `outside`. */
export function namespaceOf(tag: string, part: string): string {
  return `${PREFIX}-${tag}-${part}`;
}

/** What the mesh's own network runs in: routes and firewall, outside of every pod. */
export function fabricOf(tag: string): string {
  return namespaceOf(tag, "fabric");
}

/** Where the stand-ins for hosts outside of the mesh are. */
export function outsideOf(tag: string): string {
  return namespaceOf(tag, "outside");
}

/** Whether a namespace is of the mesh with this tag. */
export function isOfMesh(name: string, tag: string): boolean {
  return name.startsWith(`${PREFIX}-${tag}-`);
}
