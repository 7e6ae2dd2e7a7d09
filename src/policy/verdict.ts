/** What a layer decided, as one frozen value that the proxy, `can`, the flow log and the console all render. */

/** Who has a say, in the order in which a request meets them. */
export type Layer =
  | "client-route"
  | "client-tls"
  | "network"
  | "transport"
  | "protocol"
  | "jwt"
  | "ext-authz"
  | "authorization"
  | "route";

/** The words of the recorded corpora, and ours for what they do not cover (`network`, `unknown`). */
export type Reason =
  | "ok"
  | "rbac"
  | "jwt"
  | "tls"
  | "no-chain"
  | "bad-request"
  | "route"
  | "closed"
  | "passthrough"
  | "blackhole"
  | "no-route"
  | "no-cluster"
  | "no-healthy-upstream"
  | "redirect"
  | "direct-response"
  | "fault"
  | "network"
  | "unknown";

export interface Verdict {
  readonly allowed: boolean;
  /** HTTP status that the caller would see; 0 where there is no HTTP answer. */
  readonly code: number;
  readonly reason: Reason;
  /** Finer than `reason`; a closed list (docs/decisions.md). */
  readonly cause: string;
  readonly layer: Layer;
  /** `AuthorizationPolicy finance/auditor-reads-accounts`; null where no policy decided. */
  readonly policy: string | null;
  /** Index in the policy's `rules`; null where none. */
  readonly rule: number | null;
}
