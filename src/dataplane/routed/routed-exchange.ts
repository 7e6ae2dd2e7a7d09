import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { RequestEdit } from "../codec/head-writer.ts";
import { refusedAt } from "../hbone/refused-at.ts";
import type { HttpEnvironment } from "../http-environment.ts";
import type { ForwardAction, RequestView } from "../http-service.ts";
import { linesToHeaders } from "../http2-headers.ts";
import type { Revocation } from "../recheck.ts";
import {
  type CallFailure,
  type CallHandler,
  type CallRequest,
  endToEnd,
  type PendingCall,
  type UpstreamCall,
} from "./call.ts";
import { MIRROR_BODY_BYTES, type Mirror, sendCopy } from "./mirror.ts";
import { backoffMs, type RetryRule } from "./retry-rule.ts";

/** What makes a request take this way rather than the short one. */
export interface RoutedPlan {
  /** Spoken to the server, where it is not the client's. */
  readonly bridged: boolean;
  readonly retries: RetryRule | undefined;
  readonly mirrors: readonly Mirror[];
}

/** Whoever asked, whichever HTTP version it speaks. */
export interface CallDownstream {
  interim(status: number, headers: readonly string[]): void;
  /** @param ended no body follows. @throws where a header cannot be written. */
  respond(status: number, headers: readonly string[], ended: boolean): void;
  /** @returns false when the client reads too slowly. */
  write(chunk: Buffer): boolean;
  end(trailers: readonly string[]): void;
  /** Nothing was answered yet. */
  fail(status: number, text: string): void;
  /** The answer broke off. */
  abort(): void;
  /** More of the request's body can be taken. */
  wantMore(): void;
}

/** Of a request's body, kept to be sent again; a longer one is sent once. */
const REPLAY_BYTES = 1 << 20;

/**
 * A request that is more than relayed: tried again, copied, or carried over from one HTTP version to the other.
 * Nothing of an answer reaches the client before it is settled that there is no further try.
 */
export class RoutedExchange implements CallHandler {
  readonly #down: CallDownstream;
  readonly #request: CallRequest;
  readonly #action: ForwardAction;
  readonly #plan: RoutedPlan;
  readonly #env: HttpEnvironment;
  readonly #startedMs: number;
  #pending: PendingCall | undefined;
  #call: UpstreamCall | undefined;
  #tries = 0;
  #retries = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The body so far, while it may have to be sent (again). */
  #held: Buffer[] | undefined = [];
  #heldBytes = 0;
  #copied: Buffer[] | undefined;
  #requestEnded = false;
  #trailers: readonly string[] = [];
  #responded = false;
  #status = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  #over = false;

  constructor(
    down: CallDownstream,
    request: CallRequest,
    action: ForwardAction,
    plan: RoutedPlan,
    env: HttpEnvironment,
    startedMs: number,
  ) {
    this.#down = down;
    this.#request = request;
    this.#action = action;
    this.#plan = plan;
    this.#env = env;
    this.#startedMs = startedMs;
    if (plan.mirrors.length > 0) this.#copied = [];
  }

  get answered(): boolean {
    return this.#responded;
  }

  /** Whether a server is there to take the body. */
  get open(): boolean {
    return this.#call !== undefined;
  }

  start(): void {
    if (!this.#request.hasBody) this.endRequest([]);
    this.#try();
  }

  /** @returns false when the rest should wait for `wantMore`. */
  takeData(chunk: Buffer): boolean {
    if (this.#over) return true;
    this.#bytesSent += chunk.length;
    this.#keepCopy(chunk);
    if (this.#held !== undefined) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
    }
    if (this.#call === undefined) return false;
    this.#forgetIfLong();
    return this.#call.write(chunk);
  }

  endRequest(trailers: readonly string[]): void {
    if (this.#over || this.#requestEnded) return;
    this.#requestEnded = true;
    this.#trailers = trailers;
    if (this.#request.hasBody) this.#call?.end(trailers);
    this.#sendCopies();
  }

  /** The client takes more. */
  resume(): void {
    this.#call?.resume();
  }

  /** The client is gone, or broke the rules. */
  cancel(reason: string): void {
    if (this.#over) return;
    this.#finish("error", reason);
  }

  /** The route's time is up. */
  timeOut(): void {
    if (this.#over) return;
    const error = new BulwarkError("BW_UPSTREAM_TIMEOUT", "the server did not answer in time");
    if (this.#responded) this.#breakOff("timeout");
    else this.#fail(504, error);
  }

  /** A change of policy forbids it: it ends at once, with an answer where none was given yet. */
  revoke({ layer, reason, policy, rule, explanation, status, body }: Revocation): void {
    if (this.#over) return;
    const { answered } = this;
    Object.assign(this.#action.flow, { layer, reason, policy, rule, explanation });
    this.#status = status;
    this.#env.counters.denied += 1;
    this.#pending?.abort();
    this.#finish("deny", undefined);
    if (answered) this.#down.abort();
    else this.#down.fail(status, body);
  }

  onOpen(call: UpstreamCall): void {
    this.#call = call;
    this.#action.flow.upstream = call.upstream;
    for (const chunk of this.#held ?? []) call.write(chunk);
    this.#forgetIfLong();
    if (!this.#request.hasBody) return;
    if (this.#requestEnded) call.end(this.#trailers);
    else this.#down.wantMore();
  }

  onInterim(status: number, headers: readonly string[]): void {
    if (!this.#responded) this.#down.interim(status, headers);
  }

  onHead(status: number, headers: readonly string[], ended: boolean): void {
    if (this.#plan.retries?.onStatus(status, headers) === true && this.#tryAgain()) return;
    this.#status = status;
    this.#held = undefined;
    this.#responded = true;
    try {
      this.#down.respond(status, edited(headers, this.#action.responseEdit), ended);
    } catch (error) {
      this.#responded = false;
      this.#fail(502, error instanceof Error ? error : new Error(String(error)));
    }
  }

  onData(chunk: Buffer): void {
    if (!this.#responded) return;
    this.#bytesReceived += chunk.length;
    if (!this.#down.write(chunk)) this.#call?.pause();
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#over || !this.#responded) return;
    // First the record, as whoever reads the answer may look for it.
    this.#finish("allow", undefined);
    this.#down.end(trailers);
  }

  onDrain(): void {
    if (!this.#requestEnded) this.#down.wantMore();
  }

  onFailed(kind: CallFailure, error: Error): void {
    if (this.#over) return;
    if (this.#responded) this.#breakOff("upstream-reset");
    else if (this.#plan.retries?.onFailure(kind) !== true || !this.#tryAgain()) this.#orElse(kind, error);
  }

  /** Without a rule of the route's own, connecting is tried elsewhere as on the short way. */
  #orElse(kind: CallFailure, error: Error): void {
    if (kind === "connect" && this.#plan.retries === undefined) this.#try(error);
    else this.#fail(503, error);
  }

  #try(before?: Error): void {
    this.#call = undefined;
    const attempt = this.#tries;
    this.#tries += 1;
    const rule = this.#plan.retries;
    // The picker offers three places; a rule with more tries goes round again, without the first's injected delay.
    const place = rule === undefined || attempt === 0 ? attempt : 1 + ((attempt - 1) % 2);
    const next = this.#action.next(place);
    if (rule !== undefined && rule.perTryTimeoutMs > 0)
      this.#timer = setTimeout(() => this.#tryTimedOut(), rule.perTryTimeoutMs);
    Promise.resolve(next).then(
      (target) => {
        if (this.#over) return;
        if (target === undefined)
          this.#fail(503, before ?? new BulwarkError("BW_UPSTREAM_NONE", "no healthy upstream"));
        else this.#pending = this.#env.calls.open(target, this.#request, this);
      },
      (error: unknown) => this.onFailed("connect", error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** @returns false when there is no further try, or the body is gone. */
  #tryAgain(): boolean {
    const rule = this.#plan.retries;
    if (rule === undefined || this.#retries >= rule.attempts || this.#held === undefined) return false;
    this.#retries += 1;
    clearTimeout(this.#timer);
    this.#pending?.abort();
    this.#call = undefined;
    this.#timer = setTimeout(() => {
      if (!this.#over) this.#try();
    }, backoffMs(this.#retries));
    return true;
  }

  #tryTimedOut(): void {
    if (this.#over) return;
    if (this.#responded) this.#breakOff("timeout");
    else if (this.#plan.retries?.onFailure("timeout") !== true || !this.#tryAgain())
      this.#fail(504, new BulwarkError("BW_UPSTREAM_TIMEOUT", "the server did not answer in time"));
  }

  #forgetIfLong(): void {
    if (this.#heldBytes > REPLAY_BYTES || this.#plan.retries === undefined) this.#held = undefined;
  }

  #keepCopy(chunk: Buffer): void {
    if (this.#copied === undefined) return;
    this.#copied.push(chunk);
    if (this.#bytesSent > MIRROR_BODY_BYTES) this.#copied = undefined;
  }

  #sendCopies(): void {
    const body = this.#copied;
    if (body === undefined) return;
    for (const mirror of this.#plan.mirrors)
      sendCopy(mirror, this.#request, body, this.#action.flow, this.#env);
  }

  #fail(status: number, error: Error): void {
    if (this.#over) return;
    const code =
      error instanceof BulwarkError ? error.code : ((error as NodeJS.ErrnoException).code ?? "error");
    this.#action.flow.explanation = [error.message.split("\n", 1)[0] ?? ""];
    this.#status = status;
    this.#action.flow.upstream ??= refusedAt(error);
    this.#finish("error", code);
    this.#down.fail(status, FAILURES[status] ?? "upstream failure");
  }

  #breakOff(reason: string): void {
    this.#finish("error", reason);
    this.#down.abort();
  }

  #finish(verdict: "allow" | "deny" | "error", reason: string | undefined): void {
    this.#over = true;
    clearTimeout(this.#timer);
    if (verdict === "error") this.#pending?.abort();
    const { flow } = this.#action;
    flow.verdict = verdict;
    if (reason !== undefined) {
      flow.layer = "upstream";
      flow.reason = reason;
      this.#env.counters.failed += 1;
    }
    if (this.#retries > 0)
      flow.explanation = [...(flow.explanation ?? []), `tried ${this.#retries + 1} times`];
    if (this.#status > 0) flow.status = this.#status;
    flow.bytesSent = this.#bytesSent;
    flow.bytesReceived = this.#bytesReceived;
    flow.durationMs = performance.now() - this.#startedMs;
    this.#env.flows.push(flow);
  }
}

const FAILURES: Readonly<Record<number, string>> = {
  502: "the server's answer was malformed",
  503: "no healthy upstream",
  504: "upstream request timeout",
};

/** The request to send: as received, with the edit of the decision. */
export function callRequest(
  view: RequestView,
  path: string,
  edit: RequestEdit,
  hasBody: boolean,
): CallRequest {
  return {
    method: view.method,
    path: edit.path ?? path,
    authority: edit.authority ?? view.authority,
    headers: edited(endToEnd(view.headers), edit),
    hasBody,
  };
}

function edited(headers: readonly string[], edit: RequestEdit | undefined): readonly string[] {
  if (edit === undefined) return headers;
  const out: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2)
    if (edit.remove?.has(headers[at] as string) !== true)
      out.push(headers[at] as string, headers[at + 1] as string);
  for (const [name, values] of Object.entries(linesToHeaders(edit.add ?? "")))
    for (const value of [values].flat()) out.push(name, value);
  return out;
}
