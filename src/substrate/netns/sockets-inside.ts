import { isIPv4, Socket, type SocketConstructorOpts } from "node:net";
import type { Libc } from "../../dataplane/capture/libc.ts";
import { parseIpAddress } from "../../policy/ip-address.ts";
import { check, insideNamespace } from "./inside-namespace.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_MARK = 36;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const SOL_IPV6 = 41;
const IPV6_TRANSPARENT = 75;
const BACKLOG = 511;
const UNSPECIFIED_6 = "::";

/** Of Node, but not of its types: a socket that is not connected yet must not be read from. */
interface UnreadSocketOptions extends SocketConstructorOpts {
  readonly manualStart: true;
  readonly noDelay: true;
}

export interface SocketSettings {
  /** Of every packet of the socket, and of what it accepts: by it the pod's capture rules know the mesh's own. */
  readonly mark?: number;
}

/**
 * Opens a listening TCP socket in a namespace; this process stays where it is.
 * @param host `::` takes both families.
 * @returns its file descriptor, for `server.listen({ fd })`.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace or the port is not to be had.
 */
export function listenInside(
  namespace: string,
  host: string,
  port: number,
  settings: SocketSettings = {},
): number {
  return open(namespace, SOCK_STREAM, host, (calls, fd) => {
    set(calls, fd, SOL_SOCKET, SO_REUSEADDR, 1);
    mark(calls, fd, settings);
    bind(calls, fd, host, port);
    check(calls.listen(fd, BACKLOG), `listen on ${host}:${port}`);
  });
}

/**
 * Opens a UDP socket in a namespace.
 * @param port 0: any; then it is one to ask others from.
 * @returns its file descriptor, for `socket.bind({ fd })` of node:dgram (`udp6` where the host is IPv6).
 * @throws as {@link listenInside}.
 */
export function udpInside(
  namespace: string,
  host: string,
  port: number,
  settings: SocketSettings = {},
): number {
  return open(namespace, SOCK_DGRAM, host, (calls, fd) => {
    mark(calls, fd, settings);
    bind(calls, fd, host, port);
  });
}

/**
 * Dials from a namespace. What goes wrong on the network is the socket's own `error`, as with `net.connect`.
 * @param where.localAddress from where; one that is not the pod's own is taken all the same (IP_TRANSPARENT): the pod's rules have to lead the answers back.
 * @returns a socket that is connecting.
 * @throws as {@link listenInside}.
 */
export function dialInside(
  namespace: string,
  where: { readonly host: string; readonly port: number; readonly localAddress?: string },
  settings: SocketSettings = {},
): Socket {
  const { host, port, localAddress } = where;
  const fd = open(namespace, SOCK_STREAM, host, (calls, fd) => {
    mark(calls, fd, settings);
    if (localAddress === undefined) return;
    if (isIPv4(localAddress)) set(calls, fd, SOL_IP, IP_TRANSPARENT, 1);
    else set(calls, fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
    bind(calls, fd, localAddress, 0);
  });
  const options: UnreadSocketOptions = { fd, manualStart: true, noDelay: true };
  return new Socket(options).connect({ host, port });
}

function open(
  namespace: string,
  type: number,
  host: string,
  prepare: (calls: Libc, fd: number) => void,
): number {
  return insideNamespace(namespace, (calls) => {
    const domain = isIPv4(host) ? AF_INET : AF_INET6;
    const fd = check(calls.socket(domain, type | CLOEXEC_NONBLOCK, 0), "open a socket");
    try {
      prepare(calls, fd);
      return fd;
    } catch (error) {
      calls.close(fd);
      throw error;
    }
  });
}

function mark(calls: Libc, fd: number, settings: SocketSettings): void {
  if (settings.mark !== undefined) set(calls, fd, SOL_SOCKET, SO_MARK, settings.mark);
}

function set(calls: Libc, fd: number, level: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  check(calls.setsockopt(fd, level, option, bytes, bytes.length), `set option ${option} of a socket`);
}

function bind(calls: Libc, fd: number, host: string, port: number): void {
  const address = socketAddress(host, port);
  check(calls.bind(fd, address, address.length), `bind ${host}:${port}`);
}

/** sockaddr_in, or sockaddr_in6 (netinet/in.h). */
export function socketAddress(host: string, port: number): Buffer {
  const address = host === UNSPECIFIED_6 ? undefined : parseIpAddress(host);
  if (isIPv4(host)) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    bytes.writeUInt32BE(address?.words[0] ?? 0, 4);
    return bytes;
  }
  if (host !== UNSPECIFIED_6 && address?.family !== 6) throw new Error(`BUG: ${host} is no address`);
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  for (const [i, word] of (address?.words ?? []).entries()) bytes.writeUInt32BE(word, 8 + 4 * i);
  return bytes;
}
