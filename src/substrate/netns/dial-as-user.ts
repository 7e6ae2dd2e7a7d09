import { isIPv6, Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from "node:net";
import { libc } from "../../dataplane/capture/libc.ts";
import { insideNamespace } from "./inside-namespace.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;

export interface InsideSocket {
  /** As in /run/netns. */
  readonly namespace: string;
  /** Whose the socket is, on the machine: what `meta skuid` and `meta skgid` of the namespace's rules see. Default: this process's. */
  readonly uid?: number;
}

export interface Dialling {
  /** An address; names are the namespace's own affair. */
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
  readonly allowHalfOpen?: boolean;
}

/** Of Node, but not of its types: a socket that is not connected yet must not be read from. */
interface UnreadSocketOptions extends SocketConstructorOpts {
  readonly manualStart: true;
  readonly noDelay: true;
}

/**
 * Connects from inside of a network namespace, as one of its users; this process stays where and who it is. Needs root.
 * @returns a socket that is connecting, as of `net.connect`.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace is not to be had.
 */
export function dialAsUser(inside: InsideSocket, where: Dialling): Socket {
  const { host, port, localAddress, allowHalfOpen = false } = where;
  const fd = insideNamespace(inside.namespace, () => openAs(inside.uid, isIPv6(host) ? AF_INET6 : AF_INET));
  const options: UnreadSocketOptions = { fd, allowHalfOpen, manualStart: true, noDelay: true };
  const to: TcpSocketConnectOpts = {
    host,
    port,
    ...(localAddress === undefined ? {} : { localAddress }),
  };
  return new Socket(options).connect(to);
}

/** Who a socket belongs to is settled as it is made. */
function openAs(uid: number | undefined, family: number): number {
  const { setfsuid, setfsgid, socket } = libc();
  const before = uid === undefined ? undefined : { group: setfsgid(uid), user: setfsuid(uid) };
  try {
    const fd = socket(family, SOCK_STREAM_CLOEXEC_NONBLOCK, 0);
    if (fd < 0) throw new Error("cannot open a socket");
    return fd;
  } finally {
    if (before !== undefined) {
      setfsuid(before.user);
      setfsgid(before.group);
    }
  }
}
