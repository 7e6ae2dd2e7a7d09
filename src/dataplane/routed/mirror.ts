import { nowRfc3339Nanos } from "../../model/flow-record.ts";
import type { HttpEnvironment } from "../http-environment.ts";
import type { MutableFlow } from "../http-service.ts";
import type { NextTarget } from "../pick-endpoint.ts";
import type { CallHandler, CallRequest, PendingCall, UpstreamCall } from "./call.ts";

/** A place that gets a copy. */
export interface Mirror {
  readonly name: string;
  readonly next: NextTarget;
}

/** Copies of larger requests are not sent: a copy needs the whole body, held. */
export const MIRROR_BODY_BYTES = 1 << 20;
/** Copies under way at once, in one proxy; more are not sent. */
const MOST_COPIES = 256;
const COPY_TIMEOUT_MS = 15_000;
let copies = 0;

/** Sends a copy, and forgets its answer. Never throws, never waits, never touches the request that it is a copy of. */
export function sendCopy(
  mirror: Mirror,
  request: CallRequest,
  body: readonly Buffer[],
  flow: MutableFlow,
  env: HttpEnvironment,
): void {
  if (copies >= MOST_COPIES) return;
  copies += 1;
  const copy = new Copy(request, body, { ...flow, time: nowRfc3339Nanos() }, env);
  void copy.run(mirror).finally(() => {
    copies -= 1;
  });
}

/** Tells a server that it sees a copy, as Envoy does. */
export function shadowHost(authority: string): string {
  const port = /:\d+$/.exec(authority)?.[0] ?? "";
  return `${authority.slice(0, authority.length - port.length)}-shadow${port}`;
}

class Copy implements CallHandler {
  readonly #request: CallRequest;
  readonly #body: readonly Buffer[];
  readonly #flow: MutableFlow;
  readonly #env: HttpEnvironment;
  readonly #startedMs = performance.now();
  readonly #done = Promise.withResolvers<void>();
  #call: PendingCall | undefined;
  #finished = false;

  constructor(request: CallRequest, body: readonly Buffer[], flow: MutableFlow, env: HttpEnvironment) {
    this.#request = { ...request, authority: shadowHost(request.authority), hasBody: body.length > 0 };
    this.#body = body;
    this.#flow = flow;
    this.#env = env;
    Object.assign(flow, {
      layer: "client-route",
      reason: "mirror",
      status: undefined,
      explanation: undefined,
      upstream: undefined,
    });
  }

  async run({ next }: Mirror): Promise<void> {
    const timer = setTimeout(
      () => this.onFailed("reset", new Error("the copy's answer took too long")),
      COPY_TIMEOUT_MS,
    );
    try {
      const target = await next(0);
      if (target === undefined) this.onFailed("connect", new Error("no healthy upstream"));
      else this.#call = this.#env.calls.open(target, this.#request, this);
      await this.#done.promise;
    } catch (error) {
      this.onFailed("connect", error instanceof Error ? error : new Error(String(error)));
    } finally {
      clearTimeout(timer);
    }
  }

  onOpen(call: UpstreamCall): void {
    this.#flow.upstream = call.upstream;
    for (const chunk of this.#body) call.write(chunk);
    if (this.#request.hasBody) call.end([]);
  }

  onHead(status: number): void {
    this.#flow.status = status;
  }

  onEnd(): void {
    this.#finish("allow");
  }

  onFailed(_kind: string, error: Error): void {
    this.#flow.explanation = [error.message.split("\n", 1)[0] ?? ""];
    this.#finish("error");
    this.#call?.abort();
  }

  onInterim(): void {}
  onData(): void {}
  onDrain(): void {}

  #finish(verdict: "allow" | "error"): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#flow.verdict = verdict;
    this.#flow.durationMs = performance.now() - this.#startedMs;
    this.#env.flows.push(this.#flow);
    this.#done.resolve();
  }
}
