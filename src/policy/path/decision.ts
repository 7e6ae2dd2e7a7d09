/** The answer, and the parts that it is put together from. The format of decisions, see docs/can.md. */
import type { Semantics } from "../inbound.ts";
import type { Layer, Reason } from "../verdict.ts";
import type { ClientFields } from "./client-fields.ts";

export type HopSide = "client" | "gateway" | "waypoint" | "server";

/** What one proxy on the way said. */
export interface HopVerdict {
  /** `namespace/name` of the workload whose proxy this is. */
  readonly hop: string;
  readonly side: HopSide;
  readonly allowed: boolean;
  /** HTTP status that this hop answers with; 0 = no HTTP answer. */
  readonly code: number;
  readonly reason: Reason;
  /** Finer than `reason`: the closed list is in docs/can.md. */
  readonly cause: string;
  readonly layer: Layer;
  /** `Kind ns/name`; null where no resource decided. */
  readonly policy: string | null;
  /** Index in the policy's rules or routes; null where none. */
  readonly rule: number | null;
  /** Where it sends what it allows: a cluster, or the destination's address. */
  readonly to?: string;
  /** What it speaks there. */
  readonly tls?: string;
}

/** What else may happen: another destination of a weighted route, another endpoint. */
export interface OtherOutcome extends HopVerdict {
  /** The clusters and workloads that lead to it. */
  readonly way: readonly string[];
}

/** The other semantics' answer, where it is not the same. */
export interface SemanticsDifference {
  readonly semantics: Semantics;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: Reason;
  readonly cause: string;
  readonly policy: string | null;
  readonly rule: number | null;
  readonly hop: string;
  /** Where the last hop sends it, where that differs. */
  readonly to?: string;
}

/** What the same policies come to where the server stands in the other mode: `ambient` is its node's ztunnel, without a waypoint. */
export interface ModeDifference {
  readonly mode: "sidecar" | "ambient";
  readonly allowed: boolean;
  /** What the server itself answers. */
  readonly code: number;
  readonly reason: Reason;
  readonly cause: string;
  readonly policy: string | null;
  readonly rule: number | null;
  /** Lines for a person. */
  readonly why: readonly string[];
}

export interface Decision extends Partial<ClientFields> {
  readonly id: string;
  readonly allowed: boolean;
  /** HTTP status that the caller sees; 0 = no HTTP answer. */
  readonly code: number;
  readonly reason: Reason;
  readonly cause: string;
  readonly policy: string | null;
  readonly rule: number | null;
  /** Who decided. */
  readonly hop: string;
  readonly layer: Layer;
  readonly semantics: Semantics;
  /** Every proxy on the way, as far as the request came. */
  readonly hops: readonly HopVerdict[];
  /** Outcomes that differ from this one, which is that of the first destination. Absent: there is none. */
  readonly others?: readonly OtherOutcome[];
  readonly differs?: SemanticsDifference;
  /** Absent where the server would do the same in the other mode, or that was not asked. */
  readonly otherMode?: ModeDifference;
  /** Lines for a person. */
  readonly explanation: readonly string[];
}
