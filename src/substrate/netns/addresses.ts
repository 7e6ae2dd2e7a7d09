/**
 * Addresses of a mesh whose pods are network namespaces. All of it is in namespaces of our own, so nothing can clash with
 * the machine's networks.
 */
import { createHash } from "node:crypto";

export interface AddressPair {
  readonly address: string;
  readonly address6: string;
}

/** What a pod sends to first, whatever it wants: the other end of its link. */
export const POD_GATEWAY = "169.254.1.1";
export const POD_GATEWAY_6 = "fe80::1";

/** The cluster's DNS, as kubeadm numbers it. Proxies answer for it in captured pods. */
export const CLUSTER_DNS: AddressPair = { address: "10.96.0.10", address6: "fd00:10:96::a" };

export const POD_BLOCK = "10.244.0.0/16";
export const POD_BLOCK_6 = "fd00:10:244::/64";
/** For benchmarks of networks (RFC 2544): nobody's real host is there. */
export const OUTSIDE_BLOCK = "198.18.0.0/15";
export const OUTSIDE_BLOCK_6 = "2001:db8:18::/64";
/** Where Istio takes addresses for ServiceEntries without one. */
const SERVICE_ENTRY_PREFIX = "240.240";
const SERVICE_PREFIX = "10.96";

/** A /16 of each kind. */
export const MAX_SLOT = 65_000;
const FIRST_SLOT = 2;

/** @param slot from 2 to {@link MAX_SLOT}. */
export function podAddresses(slot: number): AddressPair {
  return { address: `10.244.${slot >> 8}.${slot & 255}`, address6: `fd00:10:244::${slot.toString(16)}` };
}

/** @param number from 0. */
export function standInAddresses(number: number): AddressPair {
  const n = number + 1;
  return { address: `198.18.${n >> 8}.${n & 255}`, address6: `2001:db8:18::${n.toString(16)}` };
}

/** A virtual address that follows from the name: the same at every start, whatever else is in the mesh. */
export function virtualAddresses(
  hostname: string,
  origin: "kubernetes" | "service-entry",
  attempt: number,
): AddressPair {
  const digest = createHash("sha256").update(`${hostname}\0${attempt}`).digest();
  const number = digest.readUInt16BE(0);
  // The first block of 256 holds the cluster's DNS.
  const n = 256 + (number % (65_000 - 256));
  const prefix = origin === "kubernetes" ? SERVICE_PREFIX : SERVICE_ENTRY_PREFIX;
  const prefix6 = origin === "kubernetes" ? "fd00:10:96" : "2001:2";
  return { address: `${prefix}.${n >> 8}.${n & 255}`, address6: `${prefix6}::${n.toString(16)}` };
}

/** The lowest slot that is free. */
export function freeSlot(taken: ReadonlySet<number>): number | undefined {
  for (let slot = FIRST_SLOT; slot < MAX_SLOT; slot++) if (!taken.has(slot)) return slot;
  return undefined;
}

/** In hexadecimal: tells the namespaces of one mesh from those of another on the machine. */
export function meshTag(meshId: string): string {
  return createHash("sha256").update(meshId).digest("hex").slice(0, 8);
}

/** systemd leaves uids from 1,879,048,192 to 2,147,352,575 to nobody (systemd.io/UIDS-GIDS). */
const FIRST_UID = 1_879_048_192;
export const UIDS_OF_A_POD = 65_536;
const UID_BLOCKS = 4000;

/**
 * Uid and gid, on the machine, of a pod's root. Two pods of a mesh share none; those of two meshes may.
 * @param tag of the mesh: two small meshes on one machine rarely begin at the same place.
 */
export function firstUidOf(tag: string, slot: number): number {
  return FIRST_UID + ((Number.parseInt(tag, 16) + slot) % UID_BLOCKS) * UIDS_OF_A_POD;
}
