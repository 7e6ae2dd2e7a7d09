import type { Socket } from "node:net";
import { type Libc, libc } from "./libc.ts";

export interface OriginalDestination {
  /** As text, IPv4 where the connection is. */
  readonly ip: string;
  readonly port: number;
}

const SOL_IP = 0;
const SOL_IPV6 = 41;
/** Linux: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST have one number. */
const SO_ORIGINAL_DST = 80;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
const MAPPED = "::ffff:";

/**
 * Where a redirected connection was meant to go, as the kernel's connection tracking has it. For one that was not
 * redirected it is where it arrived.
 * @see netfilter_ipv4.h, SO_ORIGINAL_DST
 */
export class OriginalDestinations {
  readonly #libc: Libc;
  readonly #address = Buffer.alloc(SOCKADDR_IN6_BYTES);
  readonly #length = Buffer.alloc(4);

  /** @throws {BulwarkError} BW_NATIVE_CALLS_MISSING */
  constructor() {
    this.#libc = libc();
  }

  /** Undefined when the kernel does not know, or the socket has gone. */
  of(socket: Socket): OriginalDestination | undefined {
    const fd = descriptorOf(socket);
    if (fd === undefined || socket.localAddress === undefined) return undefined;
    const isIpv4 = !socket.localAddress.includes(":") || socket.localAddress.startsWith(MAPPED);
    this.#length.writeUInt32LE(isIpv4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
    const level = isIpv4 ? SOL_IP : SOL_IPV6;
    if (this.#libc.getsockopt(fd, level, SO_ORIGINAL_DST, this.#address, this.#length) !== 0)
      return undefined;
    const port = this.#address.readUInt16BE(2);
    return { ip: isIpv4 ? ipv4Text(this.#address) : ipv6Text(this.#address), port };
  }
}

/** The one internal of Node's that capture depends on. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null };
  return typeof handle?.fd === "number" && handle.fd >= 0 ? handle.fd : undefined;
}

function ipv4Text(address: Buffer): string {
  return address.subarray(4, 8).join(".");
}

/** RFC 5952: the longest run of zeros is left out. */
function ipv6Text(address: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(8 + 2 * i).toString(16));
  const text = new URL(`http://[${groups.join(":")}]`).hostname;
  return text.slice(1, -1);
}

/** An address without the prefix that an IPv6 socket gives to IPv4 ones. */
export function unmapped(ip: string | undefined): string | undefined {
  return ip?.startsWith(MAPPED) === true ? ip.slice(MAPPED.length) : ip;
}
