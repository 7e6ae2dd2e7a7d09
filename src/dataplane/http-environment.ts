import type { FlowDraft } from "../model/flow-record.ts";
import type { BodyLimits } from "./codec/http1-body-reader.ts";
import type { HeadLimits } from "./codec/http1-head.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Limits } from "./limits.ts";
import type { Rechecked } from "./recheck.ts";
import type { UpstreamCalls } from "./routed/upstream-calls.ts";
import type { UpstreamPool } from "./upstream-pool.ts";

/** Counters for `status`; one object for each proxy. */
export interface ProxyCounters {
  requests: number;
  denied: number;
  failed: number;
}

/** What all HTTP connections of one proxy share. */
export interface HttpEnvironment {
  readonly deadlines: Deadlines;
  readonly pool: UpstreamPool;
  /** For requests that take the long way. */
  readonly calls: UpstreamCalls;
  readonly limits: Limits;
  readonly headLimits: HeadLimits;
  readonly bodyLimits: BodyLimits;
  readonly flows: { push(draft: FlowDraft): void };
  readonly counters: ProxyCounters;
  /** Open HTTP connections of clients: asked again when policy changes. */
  readonly live: Set<Rechecked>;
  /** True once the proxy is going away: responses then say `connection: close`. */
  draining: boolean;
}
