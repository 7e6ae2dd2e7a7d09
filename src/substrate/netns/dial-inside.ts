import { isIPv6, Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from "node:net";
import { libc } from "../../dataplane/capture/libc.ts";
import { checkCall, insideNamespace } from "./inside-namespace.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;

export interface InsideSocket {
  /** As in /run/netns. */
  readonly namespace: string;
  /** Whose the socket is, on the machine: what `meta skuid` and `meta skgid` of the namespace's rules see. Default: this process's. */
  readonly uid?: number;
}

export interface DialInside {
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
 * Connects from inside of a network namespace; this process stays where it is. Needs root.
 * @returns a socket that is connecting, as of `net.connect`.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace is not to be had.
 */
export function dialInside(inside: InsideSocket, where: DialInside): Socket {
  const { host, port, localAddress, allowHalfOpen = false } = where;
  const fd = insideNamespace(inside.namespace, () =>
    asUser(inside.uid, () =>
      checkCall(
        libc().socket(isIPv6(host) ? AF_INET6 : AF_INET, SOCK_STREAM_CLOEXEC_NONBLOCK, 0),
        "open a socket",
      ),
    ),
  );
  const options: UnreadSocketOptions = { fd, allowHalfOpen, manualStart: true, noDelay: true };
  const to: TcpSocketConnectOpts = {
    host,
    port,
    ...(localAddress === undefined ? {} : { localAddress }),
  };
  return new Socket(options).connect(to);
}

/** What is made meanwhile belongs to that user. INVARIANT: `work` is synchronous. */
function asUser<T>(uid: number | undefined, work: () => T): T {
  if (uid === undefined) return work();
  const { setfsuid, setfsgid } = libc();
  const group = setfsgid(uid);
  const user = setfsuid(uid);
  try {
    return work();
  } finally {
    setfsuid(user);
    setfsgid(group);
  }
}
