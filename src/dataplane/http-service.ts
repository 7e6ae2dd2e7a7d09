import type { FlowDraft } from "../model/flow-record.ts";
import type { AmbientWay } from "../policy/ambient/ambient-route.ts";
import type { ForwardDecision } from "../policy/outbound/types.ts";
import type { Permit } from "../policy/permit.ts";
import type { FieldLines, HeadEdit, RequestEdit } from "./codec/head-writer.ts";
import type { Revocation } from "./recheck.ts";
import type { RoutedPlan } from "./routed/routed-exchange.ts";
import type { UpstreamTarget } from "./upstream-target.ts";

/** A flow record while it is being filled in; nobody but the exchange holds it until it is pushed. */
export type MutableFlow = { -readonly [K in keyof FlowDraft]: FlowDraft[K] };

/** One request as policy and routing see it, whichever HTTP version carried it. */
export interface RequestView {
  readonly method: string;
  /** The request target as sent. */
  readonly target: string;
  /** Path and query of the target. */
  readonly path: string;
  readonly authority: string;
  /** Flat, lower-case names and values in turn. */
  readonly headers: readonly string[];
  /** Protocol of an Upgrade (`websocket`), or undefined. */
  readonly upgrade: string | undefined;
}

/** Leave to send a request on: from the server's policy, or from the client's routing, a sidecar's or a ztunnel's. */
export type Leave = Permit | ForwardDecision | AmbientWay;

/** Send it on. */
export interface ForwardAction {
  readonly kind: "forward";
  readonly leave: Leave;
  readonly edit: RequestEdit;
  readonly responseEdit: HeadEdit | undefined;
  /**
   * Where to, for the nth try (from 0); undefined when there is nowhere (else) to try. A try after the first is made only
   * when nothing of the request can have been acted on.
   */
  next(attempt: number): UpstreamTarget | undefined | Promise<UpstreamTarget | undefined>;
  /** From the head's arrival to the response's end; 0 = none. */
  readonly timeoutMs: number;
  readonly flow: MutableFlow;
  /** Set where more is asked than to relay it: another HTTP version, retries of the route's own, copies. */
  readonly routed?: RoutedPlan;
}

/** Answer it here. `flow` is complete but for bytes and duration. */
export interface ReplyAction {
  readonly kind: "reply";
  readonly status: number;
  readonly fields: FieldLines;
  readonly body: string;
  readonly flow: MutableFlow;
}

/** Close without an answer, as for a connection that no route takes. */
export interface HangUpAction {
  readonly kind: "hang-up";
  readonly flow: MutableFlow;
}

/** What policy may look at of a request's body before it is sent on. Asking for it is rare: CUSTOM policies alone do. */
export interface BodySource {
  /**
   * Reads up to `maxBytes` octets of content, which are sent on afterwards all the same. Call it at most once a request, and
   * before its action is decided.
   * @returns null for a request without a body; `malformed` for bad framing; `gone` where the client broke off.
   */
  peekBody(maxBytes: number): Promise<{ bytes: Buffer; partial: boolean } | null | "malformed" | "gone">;
}

export type HttpAction = ForwardAction | ReplyAction | HangUpAction;

/** What stands behind an HTTP connection: a sidecar's inbound or outbound side, or a gateway. */
export interface HttpService {
  /** Called once for each request, in order. Must not throw; a rejected promise counts as 500 and is recorded. */
  decide(request: RequestView, body: BodySource): HttpAction | Promise<HttpAction>;
  /** After a change of policy: the record of a connection that may not go on; undefined where it may. */
  recheckConnection?(): MutableFlow | undefined;
  /** After a change of policy: who forbids a request that is under way; undefined where it may go on. Never rejects. */
  recheckRequest?(request: RequestView): Promise<Revocation | undefined>;
  /** A message that no policy saw, because it could not be read. */
  malformed(status: number, reason: string): MutableFlow;
}
