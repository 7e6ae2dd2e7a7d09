import { type Libc, libc } from "../../dataplane/capture/libc.ts";
import { NETNS_FOLDER } from "./names.ts";

const O_RDONLY_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/**
 * Makes calls with this process inside of a pod's network; afterwards it is back where it was. Needs root.
 * INVARIANT: nothing waits in between, so nothing else of this process ever runs in that namespace. Sockets stay in the namespace that they were made in.
 * @param namespace as `ip netns list` has it.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace is not there, and what `work` throws.
 */
export function insideNamespace<T>(namespace: string, work: (calls: Libc) => T): T {
  const calls = libc();
  const own = openNamespace("/proc/self/ns/net");
  try {
    const other = openNamespace(`${NETNS_FOLDER}/${namespace}`);
    try {
      check(calls.setns(other, CLONE_NEWNET), `enter ${namespace}`);
      try {
        return work(calls);
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
  const fd = libc().open(Buffer.from(`${path}\0`), O_RDONLY_CLOEXEC);
  return check(fd, `open ${path}`);
}

/** The C library tells no more than that a call failed. @throws {Error} */
export function check(result: number, what: string): number {
  if (result < 0) throw new Error(`cannot ${what}`);
  return result;
}
