import { statSync } from "node:fs";
import { join } from "node:path";
import { NETNS_FOLDER } from "../../substrate/netns/names.ts";
import type { AmbientPod } from "../messages.ts";

/**
 * The pods whose network is there. A pod that was made anew has the name and the place of the one before, but another network: its `uid` tells them apart here, so that
 * nobody goes on with sockets in a network that is gone.
 */
export function presentPods(pods: readonly AmbientPod[], folder = NETNS_FOLDER): readonly AmbientPod[] {
  return pods.flatMap((pod) => {
    const inode = inodeOf(join(folder, pod.netns), folder);
    return inode === undefined ? [] : [{ ...pod, uid: `${pod.uid}/${inode}` }];
  });
}

/** Undefined also while the file is there and the namespace is not mounted on it yet. */
function inodeOf(path: string, folder: string): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined || found.dev === statSync(folder).dev ? undefined : found.ino;
}
