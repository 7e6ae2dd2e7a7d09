import type { FlowRecord } from "../../model/flow-record.ts";

/** What is known of who should use an identity. */
export interface RightfulUse {
  /** Without `spiffe://`. */
  readonly principal: string;
  /** Addresses of the pods that run as it. */
  readonly addresses: ReadonlySet<string>;
  /** Serials that their proxies have said they use, upper-case hexadecimal. */
  readonly serials: ReadonlySet<string>;
}

/** Why a use of an identity is not its workload's own. */
export type Suspicion = "unexpected-address" | "unclaimed-key";

export interface SuspiciousUse {
  readonly suspicions: readonly Suspicion[];
  readonly time: string;
  readonly from: string;
  readonly serial: string;
  readonly reporter: string;
}

/**
 * Uses of an identity that none of its pods can have made, by what servers wrote into the flow log: from another address than a pod's,
 * or with a certificate that no pod's proxy has ever said is its own. Pure.
 */
export function suspiciousUses(
  records: readonly FlowRecord[],
  rightful: RightfulUse,
): readonly SuspiciousUse[] {
  return records.flatMap(({ time, source, tls, reporter, kind, direction }) => {
    if (kind !== "handshake" || direction !== "inbound" || source?.principal !== rightful.principal)
      return [];
    const { ip } = source;
    const serial = tls?.peerSerial;
    if (ip === undefined || serial === undefined) return [];
    const suspicions: Suspicion[] = [];
    if (!rightful.addresses.has(ip)) suspicions.push("unexpected-address");
    if (!rightful.serials.has(serial)) suspicions.push("unclaimed-key");
    return suspicions.length === 0 ? [] : [{ suspicions, time, from: ip, serial, reporter }];
  });
}
