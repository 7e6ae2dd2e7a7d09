import type { RequestView } from "./request-view.ts";
import type { OutboundDecision } from "./types.ts";

/** Decides by a route that has taken the request. `listener` names where it was taken, for a person. */
export type RouteAction = (request: RequestView, listener: string) => OutboundDecision;
