/** Asks the authorizers of CUSTOM policies, over connections as this workload's own proxy makes them. */
import type { ExtAuthzProvider } from "../../policy/ext-authz-provider.ts";
import type { ClusterPlan } from "../../policy/outbound/types.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { Http2Upstreams } from "../http2-upstreams.ts";
import type { EndpointPicker } from "../pick-endpoint.ts";
import type { UpstreamTarget } from "../upstream-target.ts";
import { answerFromGrpc, answerFromHttp, type CheckAnswer } from "./check-answer.ts";
import { type CheckInput, checkRequest, httpCheck } from "./check-input.ts";
import { CHECK_METHOD, decodeCheckResponse, encodeCheckRequest } from "./check-message.ts";
import { callGrpc, GrpcStatusError } from "./grpc-call.ts";
import type { HttpCalls } from "./http-call.ts";
import { askOverHttp2 } from "./http2-call.ts";

/** The longest that a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1;
/** Failures of a connection that was open before: on another one the question may well be answered. */
const WORTH_ANOTHER_TRY: ReadonlySet<string> = new Set([
  "BW_AUTHORIZER_CLOSED",
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_SESSION_ERROR",
  "ERR_HTTP2_STREAM_ERROR",
  "ECONNRESET",
  "EPIPE",
]);

/** How authorizers are reached: shared by all connections of one proxy. */
export interface AuthorizerTransports {
  readonly http2: Http2Upstreams;
  readonly httpCalls: HttpCalls;
}

/** One for each configuration, since the mesh says where a provider's service is. Costs nothing until something is asked. */
export class AuthorizerClient {
  readonly #transports: AuthorizerTransports;
  readonly #picker: EndpointPicker;
  readonly #clusters: () => ReadonlyMap<string, ClusterPlan>;

  /** @param clusters the outbound clusters of the workload that asks. */
  constructor(
    transports: AuthorizerTransports,
    picker: EndpointPicker,
    clusters: () => ReadonlyMap<string, ClusterPlan>,
  ) {
    this.#transports = transports;
    this.#picker = picker;
    this.#clusters = clusters;
  }

  /** Never rejects: what fails is an answer of kind `error`. */
  async ask(provider: ExtAuthzProvider, input: CheckInput): Promise<CheckAnswer> {
    const abort = new AbortController();
    const { promise: timedOut, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => {
        const error = new BulwarkError(
          "BW_AUTHORIZER_TIMEOUT",
          `it did not answer within ${provider.timeoutMs} ms`,
        );
        reject(error);
        abort.abort(error);
      },
      Math.min(provider.timeoutMs, LONGEST_MS),
    );
    try {
      return await Promise.race([this.#attempt(provider, input, abort.signal), timedOut]);
    } catch (error) {
      const status = error instanceof GrpcStatusError ? error.status : undefined;
      return { kind: "error", status, why: reasonOf(error) };
    } finally {
      clearTimeout(timer);
    }
  }

  async #attempt(provider: ExtAuthzProvider, input: CheckInput, signal: AbortSignal): Promise<CheckAnswer> {
    let failure: unknown;
    const next = this.#targets(provider);
    let triedAgain = false;
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      const target = await next(triedAgain ? attempt - 1 : attempt);
      if (target === undefined) throw failure ?? new BulwarkError("BW_UPSTREAM_NONE", "nothing serves it");
      try {
        return await this.#askOne(target, provider, input, signal);
      } catch (error) {
        failure = error;
        const again = WORTH_ANOTHER_TRY.has(codeOf(error)) && !triedAgain;
        if (again) triedAgain = true;
        else if (!isConnectFailure(error)) throw error;
      }
    }
  }

  async #askOne(
    target: UpstreamTarget,
    provider: ExtAuthzProvider,
    input: CheckInput,
    signal: AbortSignal,
  ): Promise<CheckAnswer> {
    const { http2, httpCalls } = this.#transports;
    if (provider.kind === "http") {
      if (input.http === null) throw new Error("BUG: an HTTP authorizer asked about TCP");
      const check = httpCheck(input.http, provider);
      const answer =
        target.protocol === "http2"
          ? askOverHttp2(http2, target, check, signal)
          : httpCalls.ask(target, check, signal);
      return answerFromHttp(provider, await answer);
    }
    const call = {
      method: CHECK_METHOD,
      authority: provider.hostname,
      message: encodeCheckRequest(checkRequest(input, provider)),
      timeoutMs: provider.timeoutMs,
    };
    return answerFromGrpc(decodeCheckResponse(await callGrpc(http2, target, call, signal)));
  }

  #targets(provider: ExtAuthzProvider) {
    const cluster = this.#clusters().get(provider.cluster);
    if (cluster === undefined)
      throw new BulwarkError(
        "BW_AUTHORIZER_NOT_VISIBLE",
        `this workload cannot see \`${provider.hostname}:${provider.port}\` (a Sidecar, exportTo, or no such port)`,
      );
    const { hostname, port, kind } = provider;
    const asked = { host: hostname, port, name: hostname };
    const isHttp2 = kind === "grpc" || cluster.upstreamProtocol === "http2";
    return this.#picker.next({}, { cluster }, asked, isHttp2 ? "http2" : "http1");
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

const CONNECTING: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "BW_UPSTREAM_CLOSED",
  "BW_UPSTREAM_TIMEOUT",
]);

/** Nothing was asked yet: another endpoint may be. */
function isConnectFailure(error: unknown): boolean {
  return CONNECTING.has(codeOf(error));
}

/** Our own words, or an error's code: texts of others could hold anything. */
function reasonOf(error: unknown): string {
  if (error instanceof BulwarkError) return error.message;
  const code = codeOf(error);
  return code === "" ? "it could not be asked" : `it could not be asked (${code})`;
}
