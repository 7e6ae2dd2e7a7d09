/** Sockets as attackers use them: every byte in their own hand, no error thrown, everything bounded in time and size. */
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { TLS_PROFILE } from "../identity/tls-profile.ts";
import { dialAsUser, type InsideSocket } from "../substrate/netns/dial-as-user.ts";
import type { Credentials } from "./mesh-under-attack.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
  /** The attacker's own address: that of the pod that it has taken over. */
  readonly localAddress?: string;
  /** Where the pod is a network namespace. */
  readonly inside?: InsideSocket;
}

export interface Local {
  readonly ip: string;
  readonly port: number;
}

/** A connection, or why there is none. `local` names it in the flow log. */
export type Dialled<S extends Socket = Socket> =
  | { readonly socket: S; readonly local: Local; readonly startedAtMs: number }
  | { readonly failure: string; readonly local: Local | undefined; readonly startedAtMs: number };

const CONNECT_TIMEOUT_MS = 4000;
const MAX_ANSWER_BYTES = 1 << 20;

export function dial(address: Address, timeoutMs = CONNECT_TIMEOUT_MS): Promise<Dialled> {
  const startedAtMs = Date.now();
  return settleDial(open(address, true), "connect", startedAtMs, timeoutMs);
}

function open(address: Address, allowHalfOpen: boolean): Socket {
  const { inside, ...where } = address;
  return inside === undefined
    ? connectTcp({ ...where, noDelay: true, allowHalfOpen })
    : dialAsUser(inside, { ...where, allowHalfOpen });
}

export interface TlsOptions extends Omit<ConnectionOptions, "socket" | "host" | "port"> {
  readonly credentials?: Credentials;
}

/** TLS as an attacker speaks it: whatever certificate the server shows is taken. */
export function dialTls(
  address: Address,
  options: TlsOptions = {},
  timeoutMs = CONNECT_TIMEOUT_MS,
): Promise<Dialled<TLSSocket>> {
  const startedAtMs = Date.now();
  const { credentials, ...rest } = options;
  const own = credentials === undefined ? {} : { key: credentials.keyPem, cert: credentials.chainPem };
  try {
    const { inside, ...where } = address;
    const socket = connectTls({
      ...(inside === undefined ? where : { socket: open(address, false) }),
      ...own,
      rejectUnauthorized: false,
      minVersion: TLS_PROFILE.mesh.minVersion,
      ...rest,
    } as ConnectionOptions);
    return settleDial(socket, "secureConnect", startedAtMs, timeoutMs);
  } catch (error) {
    // OpenSSL refuses some of what attackers want before a byte is sent.
    return Promise.resolve({ failure: `not sent: ${describe(error)}`, local: undefined, startedAtMs });
  }
}

function settleDial<S extends Socket>(
  socket: S,
  event: "connect" | "secureConnect",
  startedAtMs: number,
  timeoutMs: number,
): Promise<Dialled<S>> {
  let local: Local | undefined;
  const noteLocal = () => {
    if (socket.localAddress !== undefined) local = { ip: socket.localAddress, port: socket.localPort ?? 0 };
  };
  return new Promise((resolve) => {
    const fail = (failure: string) => {
      clearTimeout(timer);
      socket.on("error", ignore).destroy();
      resolve({ failure, local, startedAtMs });
    };
    const timer = setTimeout(() => {
      // The port is the attempt's name in the log, also where nothing ever answered.
      noteLocal();
      fail("no answer in time");
    }, timeoutMs);
    socket.once("connect", noteLocal);
    const onClose = () => fail("closed while connecting");
    const onError = (error: Error) => fail(describe(error));
    socket.once("close", onClose).once("error", onError);
    socket.once(event, () => {
      clearTimeout(timer);
      noteLocal();
      socket.off("close", onClose).off("error", onError).on("error", ignore);
      resolve({ socket, local: local ?? { ip: "", port: 0 }, startedAtMs });
    });
  });
}

/** What came back, and how it ended: `quiet` when nothing more came for the time that was given. */
export interface Heard {
  readonly bytes: Buffer;
  readonly end: "closed" | "quiet" | "timeout";
  readonly error?: string;
}

export interface Conversation {
  /** Sent one after the other, each in a packet of its own. */
  readonly say: readonly Buffer[];
  /** Pause between the packets, milliseconds. */
  readonly gapMs?: number;
  /** Enough once nothing came for so long after the first answer; without it the end is awaited. */
  readonly quietMs?: number;
  readonly timeoutMs?: number;
  /** Ends the attacker's half after the last packet. */
  readonly halfClose?: boolean;
}

/** Says everything, hears everything, and closes. */
export function converse(socket: Socket, conversation: Conversation): Promise<Heard> {
  const { say, gapMs = 0, quietMs, timeoutMs = 3000, halfClose = false } = conversation;
  const heard: Buffer[] = [];
  let length = 0;
  let error: string | undefined;
  return new Promise((resolve) => {
    let quiet: NodeJS.Timeout | undefined;
    const finish = (end: Heard["end"]) => {
      clearTimeout(timer);
      clearTimeout(quiet);
      socket.destroy();
      resolve({ bytes: Buffer.concat(heard), end, ...(error === undefined ? {} : { error }) });
    };
    const timer = setTimeout(() => finish("timeout"), timeoutMs);
    socket.on("error", (cause) => {
      error = describe(cause);
    });
    socket.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_ANSWER_BYTES) heard.push(chunk);
      if (quietMs === undefined) return;
      clearTimeout(quiet);
      quiet = setTimeout(() => finish("quiet"), quietMs);
    });
    socket.once("end", () => finish("closed"));
    socket.once("close", () => finish("closed"));
    if (socket.destroyed) finish("closed");
    void speak(socket, say, gapMs, halfClose);
  });
}

async function speak(
  socket: Socket,
  say: readonly Buffer[],
  gapMs: number,
  halfClose: boolean,
): Promise<void> {
  for (const [index, packet] of say.entries()) {
    if (socket.destroyed || !socket.writable) return;
    socket.write(packet);
    const last = index === say.length - 1;
    if (!last) await new Promise((resolve) => setTimeout(resolve, gapMs));
  }
  if (halfClose && socket.writable) socket.end();
}

function ignore(): void {}

/** An error in a few words. */
export function describe(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  const line = typeof message === "string" ? (message.split("\n", 1)[0] ?? "") : String(error);
  // OpenSSL's own words, without its addresses and source lines.
  const text = /:SSL routines:[^:]*:([^:]+)/.exec(line)?.[1] ?? line;
  return code === undefined || text.includes(code) ? text : `${text} (${code})`;
}

/** The first bytes, so that a person can read them: TLS records by their name, the rest as text. */
export function preview(bytes: Buffer, length = 60): string {
  const record = bytes[1] === 3 ? TLS_RECORDS[bytes[0] ?? 0] : undefined;
  if (record !== undefined) return record;
  return bytes
    .toString("latin1", 0, length)
    .replace(/\r\n/g, " ⏎ ")
    .replace(/[^ -~⏎]/g, "·");
}

const TLS_RECORDS: Readonly<Record<number, string>> = {
  21: "a TLS alert",
  22: "a ServerHello",
  23: "TLS data",
};
