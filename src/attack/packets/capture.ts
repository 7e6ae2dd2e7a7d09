import { readSync } from "node:fs";
import { libc } from "../../dataplane/capture/libc.ts";
import { insideNamespace } from "../../substrate/netns/inside-namespace.ts";
import { type Packet, parsePacket } from "./packet.ts";

const AF_PACKET = 17;
/** Without the link's header: what is read begins with the IP packet (packet(7)). */
const SOCK_DGRAM_CLOEXEC_NONBLOCK = 2 | 0o2000000 | 0o4000;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
/** Loopback is the first link of every namespace. */
const LOOPBACK_INDEX = 1;
const KERNEL_BUFFER_BYTES = 32 * 1024 * 1024;
/** Veth links hand on what the sender has not cut yet. */
const MAX_FRAME_BYTES = 256 * 1024;
const MAX_KEPT_BYTES = 64 * 1024 * 1024;
const POLL_MS = 10;

/**
 * Everything that passes the links of a namespace, each packet on each link, in memory. It sees what the kernel sees, whoever sent it; a
 * packet that is forwarded is there twice. Close it. Needs root.
 */
export class Capture {
  readonly #fd: number;
  readonly #timer: NodeJS.Timeout;
  readonly #frame = Buffer.alloc(MAX_FRAME_BYTES);
  readonly #packets: Packet[] = [];
  #keptBytes = 0;
  #lost = 0;

  /**
   * @param links `loopback`: what processes of the namespace say to each other alone.
   * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING; an error where the namespace is not there.
   */
  constructor(namespace: string, links: "all" | "loopback" = "all") {
    this.#fd = insideNamespace(namespace, () => openPacketSocket(links === "all" ? 0 : LOOPBACK_INDEX));
    this.#timer = setInterval(() => this.#read(), POLL_MS);
    this.#timer.unref();
  }

  /** Packets so far. */
  get length(): number {
    this.#read();
    return this.#packets.length;
  }

  /** What came after the first `from` packets. */
  since(from: number): readonly Packet[] {
    this.#read();
    return this.#packets.slice(from);
  }

  /** Packets that passed and that are not here: with any, what was not seen proves nothing. */
  get lost(): number {
    this.#read();
    const statistics = Buffer.alloc(8);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(statistics.length);
    if (libc().getsockopt(this.#fd, SOL_PACKET, PACKET_STATISTICS, statistics, length) !== 0)
      throw new Error("cannot ask how many packets the capture has lost");
    // The kernel begins anew with each time that it is asked.
    this.#lost += statistics.readUInt32LE(4);
    return this.#lost;
  }

  close(): void {
    clearInterval(this.#timer);
    libc().close(this.#fd);
  }

  #read(): void {
    for (;;) {
      const length = this.#readFrame();
      if (length === undefined) return;
      if (this.#keptBytes + length > MAX_KEPT_BYTES || length === MAX_FRAME_BYTES) {
        this.#lost += 1;
        continue;
      }
      const packet = parsePacket(Buffer.from(this.#frame.subarray(0, length)));
      if (packet === undefined) continue;
      this.#keptBytes += length;
      this.#packets.push(packet);
    }
  }

  #readFrame(): number | undefined {
    try {
      return readSync(this.#fd, this.#frame);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
      throw error;
    }
  }
}

/** @param index of the link; 0: all of them. */
function openPacketSocket(index: number): number {
  const calls = libc();
  // In network order, in an int.
  const fd = calls.socket(AF_PACKET, SOCK_DGRAM_CLOEXEC_NONBLOCK, ETH_P_ALL << 8);
  if (fd < 0) throw new Error("the kernel gives no packet socket");
  const size = Buffer.alloc(4);
  size.writeInt32LE(KERNEL_BUFFER_BYTES);
  // sockaddr_ll, in host order but for the protocol (packet(7)).
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(ETH_P_ALL, 2);
  address.writeInt32LE(index, 4);
  const isReady =
    calls.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length) === 0 &&
    calls.bind(fd, address, address.length) === 0;
  if (isReady) return fd;
  calls.close(fd);
  throw new Error("the kernel gives the capture no buffer, or no link");
}
