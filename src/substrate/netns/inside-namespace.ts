import { libc } from "../../dataplane/capture/libc.ts";
import { NETNS_FOLDER } from "./names.ts";

const O_RDONLY_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/**
 * Does something in a network namespace, as opening a socket, which then stays there; this process goes back at once. Needs root.
 * INVARIANT: `work` is synchronous, so nothing else of this process ever runs in that namespace.
 * @param namespace as in /run/netns.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace is not to be had; what `work` throws.
 */
export function insideNamespace<T>(namespace: string, work: () => T): T {
  const calls = libc();
  const own = openNamespace("/proc/self/ns/net");
  try {
    const other = openNamespace(`${NETNS_FOLDER}/${namespace}`);
    try {
      checkCall(calls.setns(other, CLONE_NEWNET), `enter ${namespace}`);
      try {
        return work();
      } finally {
        // To go on in a pod's namespace would be worse than to end.
        if (calls.setns(own, CLONE_NEWNET) !== 0) process.abort();
      }
    } finally {
      calls.close(other);
    }
  } finally {
    calls.close(own);
  }
}

function openNamespace(path: string): number {
  return checkCall(libc().open(Buffer.from(`${path}\0`), O_RDONLY_CLOEXEC), `open ${path}`);
}

/** @returns the call's result. @throws where it is negative: errno is not to be had. */
export function checkCall(result: number, what: string): number {
  if (result < 0) throw new Error(`cannot ${what}`);
  return result;
}
