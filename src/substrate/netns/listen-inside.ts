import { isIPv4 } from "node:net";
import { libc } from "../../dataplane/capture/libc.ts";
import { checkCall, insideNamespace } from "./inside-namespace.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const BACKLOG = 511;

/**
 * Opens a listening TCP socket inside of a namespace; this process stays where it is. Needs root.
 * @param host `::` takes both families.
 * @returns its file descriptor, for `server.listen({ fd })`.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace or the port is not to be had.
 */
export function listenInside(namespace: string, host: string, port: number): number {
  return insideNamespace(namespace, () => listening(host, port));
}

function listening(host: string, port: number): number {
  const calls = libc();
  const address = socketAddress(host, port);
  const fd = checkCall(
    calls.socket(isIPv4(host) ? AF_INET : AF_INET6, SOCK_STREAM_CLOEXEC_NONBLOCK, 0),
    "open a socket",
  );
  const one = Buffer.alloc(4);
  one.writeInt32LE(1);
  try {
    checkCall(calls.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, one.length), "set SO_REUSEADDR");
    checkCall(calls.bind(fd, address, address.length), `bind ${host}:${port}`);
    checkCall(calls.listen(fd, BACKLOG), `listen on ${host}:${port}`);
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
