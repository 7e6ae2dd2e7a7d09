/** Pods on addresses of 127/8, with what the kernel's redirection would do done by hand: who dials says where it was going. */
import { connect, Socket } from "node:net";
import { libc } from "../../../src/dataplane/capture/libc.ts";
import type { OriginalDestination } from "../../../src/dataplane/capture/original-destination.ts";
import type { PodSockets, ZtunnelPod } from "../../../src/dataplane/ztunnel/ztunnel-pod.ts";
import { socketAddress } from "../../../src/substrate/netns/sockets-inside.ts";

const AF_INET = 2;
const STREAM = 1;
const DATAGRAM = 2;
const CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const OWN_PORTS: ReadonlySet<number> = new Set([15001, 15006, 15008, 15053]);

/** One TCP connection that a ztunnel opened: from whose network, and what it was told to go to. */
export interface Dialled {
  readonly pod: string;
  readonly host: string;
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly socket: Socket;
}

export class LoopbackPods implements PodSockets {
  readonly dialled: Dialled[] = [];
  readonly #originals = new Map<string, OriginalDestination>();
  readonly #captured = new Set<string>();

  /** From now on what comes to this address in clear comes to the pod's ztunnel. */
  capture(pod: ZtunnelPod): void {
    this.#captured.add(pod.address);
  }

  listen(pod: ZtunnelPod, _host: string, port: number): number {
    return this.#open(pod.address, port, STREAM);
  }

  listenUdp(pod: ZtunnelPod, _host: string, port: number): number {
    return this.#open(pod.address, port, DATAGRAM);
  }

  dial(pod: ZtunnelPod, where: { host: string; port: number; localAddress?: string }): Socket {
    const { host, port, localAddress } = where;
    const isHandOff = localAddress !== undefined;
    const socket =
      !isHandOff && this.#captured.has(host) && !OWN_PORTS.has(port)
        ? this.redirected(pod.address, { ip: host, port: 15006 }, { ip: host, port })
        : this.#connect(localAddress ?? pod.address, host, port);
    this.dialled.push({ pod: pod.workload, host, port, localAddress, socket });
    return socket;
  }

  originalDestination(
    _pod: ZtunnelPod,
    { remoteAddress, remotePort }: Socket,
  ): OriginalDestination | undefined {
    return this.#originals.get(`${remoteAddress}:${remotePort}`);
  }

  /** A connection that arrives at `to` and was going to `meant`; undefined: nothing redirected it. */
  redirected(from: string, to: OriginalDestination, meant: OriginalDestination | undefined): Socket {
    const socket = connect({ host: to.ip, port: to.port, localAddress: from, allowHalfOpen: true });
    // Bound by then, and accepted no sooner than in the loop's next turn.
    process.nextTick(() => {
      const place = `${from}:${socket.localPort}`;
      if (meant === undefined) this.#originals.delete(place);
      else this.#originals.set(place, meant);
    });
    return socket;
  }

  /** As in a pod's network: the descriptor comes from outside of Node. */
  #connect(from: string, host: string, port: number): Socket {
    const calls = libc();
    const fd = calls.socket(AF_INET, STREAM | CLOEXEC_NONBLOCK, 0);
    const address = socketAddress(from, 0);
    if (calls.bind(fd, address, address.length) !== 0) throw new Error(`cannot dial from ${from}`);
    return new Socket({ fd }).connect({ host, port });
  }

  #open(host: string, port: number, type: number): number {
    const calls = libc();
    const fd = calls.socket(AF_INET, type | CLOEXEC_NONBLOCK, 0);
    const one = Buffer.alloc(4);
    one.writeInt32LE(1);
    calls.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, one.length);
    const address = socketAddress(host, port);
    const isOpen =
      calls.bind(fd, address, address.length) === 0 && (type === DATAGRAM || calls.listen(fd, 128) === 0);
    if (isOpen) return fd;
    calls.close(fd);
    throw new Error(`cannot listen on ${host}:${port}`);
  }
}
