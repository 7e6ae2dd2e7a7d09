import type { RetryPlan } from "../../policy/outbound/types.ts";
import { type CallFailure, headerOf } from "./call.ts";

/** When, and how often, a request is tried again. */
export interface RetryRule {
  /** Beyond the first try. */
  readonly attempts: number;
  /** 0 = none. */
  readonly perTryTimeoutMs: number;
  onStatus(status: number, headers: readonly string[]): boolean;
  /** `timeout`: of one try. */
  onFailure(kind: CallFailure | "timeout"): boolean;
}

/** gRPC's statuses by the names of Envoy's conditions. */
const GRPC_CONDITIONS: Readonly<Record<string, string>> = {
  cancelled: "1",
  "deadline-exceeded": "4",
  internal: "13",
  "resource-exhausted": "8",
  unavailable: "14",
};

/** Statuses that `retriable-status-codes` means where no number stands beside it. */
const DEFAULT_CODES: ReadonlySet<number> = new Set([503]);

const RULES = new WeakMap<RetryPlan, RetryRule>();

/**
 * Compiles Envoy's conditions, once for each plan. Conditions that are not known hold never.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter#x-envoy-retry-on
 */
export function retryRule(plan: RetryPlan): RetryRule {
  let rule = RULES.get(plan);
  if (rule === undefined) {
    rule = compile(plan);
    RULES.set(plan, rule);
  }
  return rule;
}

function compile({ attempts, perTryTimeoutMs = 0, retryOn }: RetryPlan): RetryRule {
  const words = retryOn
    .split(",")
    .map((word) => word.trim().toLowerCase())
    .filter((word) => word !== "");
  const has = new Set(words);
  const written = words.filter((word) => /^[1-5]\d\d$/.test(word)).map(Number);
  const codes =
    written.length > 0 ? new Set(written) : has.has("retriable-status-codes") ? DEFAULT_CODES : new Set();
  const grpc = new Set(
    Object.entries(GRPC_CONDITIONS).flatMap(([word, status]) => (has.has(word) ? [status] : [])),
  );
  const anyReset = has.has("reset") || has.has("5xx") || has.has("gateway-error");
  return {
    attempts,
    perTryTimeoutMs,
    onStatus: (status, headers) =>
      (has.has("5xx") && status >= 500) ||
      (has.has("gateway-error") && status >= 502 && status <= 504) ||
      (has.has("retriable-4xx") && status === 409) ||
      codes.has(status) ||
      (grpc.size > 0 && grpc.has(headerOf(headers, "grpc-status") ?? "")),
    onFailure(kind) {
      if (anyReset) return true;
      if (kind === "connect") return has.has("connect-failure") || has.has("reset-before-request");
      return kind === "refused-stream" && has.has("refused-stream");
    },
  };
}

const BASE_MS = 25;
const MOST_MS = 250;

/** Before the nth retry, from 1: random below a bound that doubles, as Envoy waits. */
export function backoffMs(retry: number): number {
  return Math.random() * Math.min(BASE_MS * 2 ** (retry - 1), MOST_MS);
}
