/**
 * The process in the pod: code execution as one of its users, with that user's rights and no others. It knows nothing of the mesh; it does
 * what its standard input says, and ends with it.
 */
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { readdirSync, statSync, writeSync } from "node:fs";
import { connect, isIPv4, isIPv6 } from "node:net";
import { createInterface } from "node:readline";
import { libc } from "../../dataplane/capture/libc.ts";
import type { ConnectOrder, DatagramOrder, Order, RawOrder, Word } from "./orders.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3;
const MAX_HEARD_BYTES = 64 * 1024;
/** Enough once nothing came for so long after an answer. */
const QUIET_MS = 150;
const PROGRAM_TIMEOUT_MS = 10_000;

const NOTHING: Word = { connected: false, heard: "" };

export async function obey(order: Order): Promise<Word> {
  switch (order.kind) {
    case "connect":
      return await asUser(order.as, () => connecting(order));
    case "datagram":
      return await asUser(order.as, () => datagram(order));
    case "raw":
      return await asUser(order.as, async () => raw(order));
    case "become":
      return become(order.uid);
    case "kill":
      return kill(order.uid);
    case "run":
      return await run(order.words);
  }
}

/** INVARIANT: one order at a time, so nothing else is done as that user meanwhile. */
async function asUser(uid: number | undefined, work: () => Promise<Word>): Promise<Word> {
  if (uid === undefined) return await work();
  const { setfsuid, setfsgid } = libc();
  setfsgid(uid);
  setfsuid(uid);
  try {
    return await work();
  } finally {
    setfsuid(0);
    setfsgid(0);
  }
}

function connecting({ host, port, say, timeoutMs }: ConnectOrder): Promise<Word> {
  return new Promise((resolve) => {
    const heard: Buffer[] = [];
    let length = 0;
    let connected = false;
    let failure: string | undefined;
    let quiet: NodeJS.Timeout | undefined;
    const socket = connect({ host, port });
    const finish = () => {
      clearTimeout(timer);
      clearTimeout(quiet);
      const { localAddress: ip, localPort: own = 0 } = socket;
      const local = ip === undefined ? {} : { local: { ip, port: own } };
      socket.destroy();
      const why = failure === undefined ? {} : { failure };
      resolve({ ...local, connected, heard: Buffer.concat(heard).toString("base64"), ...why });
    };
    const timer = setTimeout(() => {
      failure = "no answer in time";
      finish();
    }, timeoutMs);
    socket.once("connect", () => {
      connected = true;
      // Asked for now: a socket that is closed does not tell.
      void socket.localPort;
      socket.write(Buffer.from(say, "base64"));
    });
    socket.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_HEARD_BYTES) heard.push(chunk);
      clearTimeout(quiet);
      quiet = setTimeout(finish, QUIET_MS);
    });
    socket.on("error", (error) => {
      failure = error.message;
    });
    socket.once("end", finish).once("close", finish);
  });
}

function datagram({ host, port, say, timeoutMs }: DatagramOrder): Promise<Word> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    let local: Word["local"];
    const finish = (heard: Buffer, failure?: string) => {
      clearTimeout(timer);
      socket.close();
      const word = { connected: heard.length > 0, heard: heard.toString("base64") };
      resolve({
        ...word,
        ...(local === undefined ? {} : { local }),
        ...(failure === undefined ? {} : { failure }),
      });
    };
    const timer = setTimeout(() => finish(Buffer.alloc(0), "sent, no answer"), timeoutMs);
    socket.once("message", (answer) => finish(answer));
    socket.once("error", (error) => finish(Buffer.alloc(0), error.message));
    socket.connect(port, host, () => {
      const { address: ip, port: own } = socket.address();
      local = { ip, port: own };
      socket.send(Buffer.from(say, "base64"));
    });
  });
}

function raw({ host, protocol, say }: RawOrder): Word {
  const { socket, connect: connectTo, close } = libc();
  const fd = socket(isIPv4(host) ? AF_INET : AF_INET6, SOCK_RAW, protocol);
  if (fd < 0) return { ...NOTHING, failure: "the kernel gives this user no raw socket" };
  try {
    const address = destination(host);
    if (connectTo(fd, address, address.length) < 0) return { ...NOTHING, failure: "no route" };
    writeSync(fd, Buffer.from(say, "base64"));
    return { ...NOTHING, connected: true };
  } catch (error) {
    return { ...NOTHING, failure: (error as Error).message };
  } finally {
    close(fd);
  }
}

/** sockaddr_in, sockaddr_in6: port 0. */
function destination(host: string): Buffer {
  const isV4 = isIPv4(host);
  const bytes = Buffer.alloc(isV4 ? 16 : 28);
  bytes.writeUInt16LE(isV4 ? AF_INET : AF_INET6, 0);
  if (isV4) bytes.set(host.split(".").map(Number), 4);
  else for (const [i, group] of groupsOf(host).entries()) bytes.writeUInt16BE(group, 8 + 2 * i);
  return bytes;
}

function groupsOf(host: string): number[] {
  const [head = "", tail = ""] = host.split("::");
  const read = (part: string) =>
    part.split(":").flatMap((one) => (one === "" ? [] : Number.parseInt(one, 16)));
  const [before, after] = [read(head), read(tail)];
  return host.includes("::")
    ? [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
    : before;
}

function become(uid: number): Word {
  try {
    process.setuid?.(uid);
    return { ...NOTHING, connected: true };
  } catch (error) {
    return { ...NOTHING, failure: (error as Error).message };
  }
}

function kill(uid: number): Word {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && ownerOf(name) === uid);
  for (const pid of pids) process.kill(Number(pid), "SIGKILL");
  return pids.length > 0
    ? { ...NOTHING, connected: true }
    : { ...NOTHING, failure: "the pod has no process of that user" };
}

/** As the pod's own user namespace counts: processes of others are nobody's in it. */
function ownerOf(pid: string): number | undefined {
  try {
    return statSync(`/proc/${pid}`).uid;
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}

function run([command = "", ...args]: readonly string[]): Promise<Word> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: PROGRAM_TIMEOUT_MS }, (error, stdout, stderr) =>
      resolve({
        connected: error === null,
        heard: Buffer.from(stdout).toString("base64"),
        ...(error === null ? {} : { failure: stderr.trim() || error.message }),
      }),
    );
  });
}

/** One order at a time. */
async function serve(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const word = await obey(JSON.parse(line) as Order).catch((error: unknown) => ({
      ...NOTHING,
      failure: error instanceof Error ? error.message : String(error),
    }));
    process.stdout.write(`${JSON.stringify(word)}\n`);
  }
}

if (import.meta.main) await serve();
