/** Sockets of a ztunnel in a network that it shares with its one pod: marked, so that what the kernel leads to it leaves its own packets alone. */
import { execFileSync } from "node:child_process";
import { isIPv4, Socket } from "node:net";
import { type Libc, libc } from "../../src/dataplane/capture/libc.ts";
import type { PodSockets, ZtunnelPod } from "../../src/dataplane/ztunnel/ztunnel-pod.ts";
import { socketAddress } from "../../src/substrate/netns/sockets-inside.ts";

const MARK = 0x539;
const [AF_INET, AF_INET6] = [2, 10];
const STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_MARK = 36;

export const markedSockets: PodSockets = {
  listen: (_pod: ZtunnelPod, host: string, port: number) =>
    open(host, (calls, fd) => {
      set(calls, fd, SO_REUSEADDR, 1);
      bind(calls, fd, host, port);
      check(calls.listen(fd, 128), `listen on ${host}:${port}`);
    }),
  dial: (_pod, { host, port, localAddress }) => {
    const fd = open(host, (calls, opened) => {
      if (localAddress !== undefined) bind(calls, opened, localAddress, 0);
    });
    return new Socket({ fd }).connect({ host, port });
  },
};

/** TCP to these addresses is led to the ztunnel, but for tunnels and its own; what was there of before goes. */
export function capture(addresses: readonly string[]): void {
  const rules = addresses.map(
    (address) => `${isIPv4(address) ? "ip" : "ip6"} daddr ${address} meta l4proto tcp redirect to :15006`,
  );
  const chain = [
    "type nat hook output priority -100;",
    `meta mark ${MARK} return`,
    "tcp dport 15008 return",
    ...rules,
  ].join("\n");
  const input = `table inet ambient {}\ndelete table inet ambient\ntable inet ambient {\nchain out {\n${chain}\n}\n}\n`;
  execFileSync("nft", ["-f", "-"], { input });
}

function open(host: string, prepare: (calls: Libc, fd: number) => void): number {
  const calls = libc();
  const fd = check(
    calls.socket(isIPv4(host) ? AF_INET : AF_INET6, STREAM_CLOEXEC_NONBLOCK, 0),
    "open a socket",
  );
  try {
    set(calls, fd, SO_MARK, MARK);
    prepare(calls, fd);
    return fd;
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

function set(calls: Libc, fd: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  check(calls.setsockopt(fd, SOL_SOCKET, option, bytes, bytes.length), `set option ${option}`);
}

function bind(calls: Libc, fd: number, host: string, port: number): void {
  const address = socketAddress(host, port);
  check(calls.bind(fd, address, address.length), `bind ${host}:${port}`);
}

function check(result: number, what: string): number {
  if (result < 0) throw new Error(`cannot ${what}`);
  return result;
}
