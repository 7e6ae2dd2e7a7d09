import { isIPv4 } from "node:net";
import { libc } from "../../dataplane/capture/libc.ts";
import { NETNS_FOLDER } from "./names.ts";

const O_RDONLY_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const BACKLOG = 511;

/**
 * Opens a listening TCP socket inside of a namespace; this process stays where it is. Needs root.
 * INVARIANT: nothing waits in between, so nothing else of this process ever runs in that namespace.
 * @param host `::` takes both families.
 * @returns its file descriptor, for `server.listen({ fd })`.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace or the port is not to be had.
 */
export function listenInside(namespace: string, host: string, port: number): number {
  const calls = libc();
  const own = openNamespace("/proc/self/ns/net");
  try {
    const other = openNamespace(`${NETNS_FOLDER}/${namespace}`);
    try {
      check(calls.setns(other, CLONE_NEWNET), `enter ${namespace}`);
      try {
        return listening(host, port);
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

function listening(host: string, port: number): number {
  const calls = libc();
  const address = socketAddress(host, port);
  const fd = check(
    calls.socket(isIPv4(host) ? AF_INET : AF_INET6, SOCK_STREAM_CLOEXEC_NONBLOCK, 0),
    "open a socket",
  );
  const one = Buffer.alloc(4);
  one.writeInt32LE(1);
  try {
    check(calls.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, one.length), "set SO_REUSEADDR");
    check(calls.bind(fd, address, address.length), `bind ${host}:${port}`);
    check(calls.listen(fd, BACKLOG), `listen on ${host}:${port}`);
  } catch (error) {
    calls.close(fd);
    throw error;
  }
  return fd;
}

/** sockaddr_in of an address, or sockaddr_in6 of `::`. */
function socketAddress(host: string, port: number): Buffer {
  const address = Buffer.alloc(isIPv4(host) ? 16 : 28);
  address.writeUInt16LE(isIPv4(host) ? AF_INET : AF_INET6, 0);
  address.writeUInt16BE(port, 2);
  if (isIPv4(host)) address.set(host.split(".").map(Number), 4);
  else if (host !== "::") throw new Error(`BUG: ${host} cannot be listened on inside of a namespace`);
  return address;
}

function check(result: number, what: string): number {
  if (result < 0) throw new Error(`cannot ${what}`);
  return result;
}
