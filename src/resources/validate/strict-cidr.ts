import ipaddr from "ipaddr.js";
import { type Field, quoted } from "./field.ts";
import { isCidr } from "./host-names.ts";

/** A CIDR block as integers. */
export interface StrictCidr {
  readonly network: bigint;
  /** Of the prefix. */
  readonly length: number;
  /** Of an address: 32 or 128. */
  readonly bits: 32 | 128;
}

/** A block without host bits, leading zeros or IPv4-mapped addresses, as Kubernetes 1.36 wants new objects (StrictIPCIDRValidation). */
export function strictCidr(text: string): StrictCidr | undefined {
  if (!isCidr(text)) return undefined;
  const [address, length] = ipaddr.parseCIDR(text);
  const bytes = address.toByteArray();
  const bits = bytes.length === 4 ? 32 : 128;
  if (bits === 128 && (address as ipaddr.IPv6).isIPv4MappedAddress()) return undefined;
  const network = bytes.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  const hostBits = BigInt(bits - length);
  return (network >> hostBits) << hostBits === network ? { network, length, bits } : undefined;
}

/** @returns whether it is one. */
export function checkStrictCidr(field: Field): boolean {
  if (strictCidr(field.text) !== undefined) return true;
  field.error(
    "BW1203_BAD_CIDR",
    field.text === ""
      ? `\`${field.name}\` must be a CIDR block`
      : `\`${field.name}\` is ${quoted(field.text)}, which is no CIDR block with its first address`,
    "as in `10.0.0.0/8`, `192.0.2.7/32` or `2001:db8::/32`",
  );
  return false;
}
