/** Routes that send a request on. */
import { NO_HEADER_OPS } from "./header-ops.ts";
import { authorityHost, type RequestView } from "./request-view.ts";
import type { PathRewrite } from "./rewrite.ts";
import type { RouteAction } from "./route-action.ts";
import { followsAuthority, unusable, withAuthority } from "./targets.ts";
import type {
  CorsPlan,
  ForwardDecision,
  HttpRoutePlan,
  OutboundDecision,
  OutboundTarget,
  RefuseDecision,
  RespondDecision,
  RouteRef,
} from "./types.ts";

export interface HttpForward {
  readonly by: RouteRef;
  readonly http: HttpRoutePlan;
  readonly targets: readonly OutboundTarget[];
  readonly weighted: boolean;
  readonly rewritePath?: PathRewrite;
  readonly authority?: string;
}

/** The action of a forwarding route. Decisions that do not depend on the request are made once for each listener. */
export function forwardHttp(forward: HttpForward): RouteAction {
  const { by, targets } = forward;
  const cors = forward.http.cors;
  const reason = unusable(targets);
  if (reason !== undefined) {
    const cluster = forward.weighted ? undefined : targets[0]?.name;
    const refusal: Omit<RefuseDecision, "listener"> = {
      kind: "refuse",
      allowed: false,
      code: reason === "no-cluster" ? (forward.http.noClusterCode ?? 503) : 503,
      reason,
      by,
      ...(cluster === undefined ? {} : { cluster }),
      targets,
    };
    return (_request, listener) => ({ ...refusal, listener });
  }
  const varies =
    forward.rewritePath !== undefined || forward.authority !== undefined || followsAuthority(targets);
  const fixed = new Map<string, ForwardDecision>();
  return (request, listener) => {
    const preflight = cors === undefined ? undefined : answerPreflight(cors, request, by, listener);
    if (preflight !== undefined) return preflight;
    if (varies || request.path !== request.sent) return assemble(forward, request, listener);
    let decision = fixed.get(listener);
    if (decision === undefined) {
      decision = Object.freeze(assemble(forward, request, listener));
      fixed.set(listener, decision);
    }
    return decision;
  };
}

function assemble(forward: HttpForward, request: RequestView, listener: string): ForwardDecision {
  const { rewritePath, authority } = forward;
  const path = rewritePath === undefined ? request.path : rewritePath(request.pathOnly) + request.search;
  const host = authority ?? request.authority;
  const dynamic = forward.targets.some(({ cluster }) => cluster?.resolution === "dynamic-dns");
  return {
    kind: "forward",
    allowed: true,
    code: 200,
    reason: "ok",
    by: forward.by,
    listener,
    targets: forward.targets.map((target) => withAuthority(target, host)),
    weighted: forward.weighted,
    ...(path === request.sent ? {} : { path }),
    ...(rewritePath === undefined ? {} : { originalPath: request.path }),
    ...(authority === undefined ? {} : { authority, originalAuthority: request.authority }),
    ...(dynamic ? { dynamicHost: authorityHost(host) } : {}),
    http: forward.http,
  };
}

/** A preflight from an origin that is allowed is answered here (Fetch standard, CORS protocol). */
function answerPreflight(
  cors: CorsPlan,
  request: RequestView,
  by: RouteRef,
  listener: string,
): OutboundDecision | undefined {
  if (request.method !== "OPTIONS") return undefined;
  const origin = request.header("origin") ?? "";
  if (origin === "" || request.header("access-control-request-method") === undefined) return undefined;
  const allowed = cors.allowsOrigin(origin);
  if (!allowed && cors.forwardNotMatchingPreflights) return undefined;
  const answer: RespondDecision = {
    kind: "respond",
    allowed: false,
    code: 200,
    reason: "direct-response",
    by,
    listener,
    responseHeaders: { ...NO_HEADER_OPS, set: allowed ? preflightHeaders(cors, origin) : [] },
  };
  return answer;
}

function preflightHeaders(cors: CorsPlan, origin: string): (readonly [string, string])[] {
  const headers: (readonly [string, string])[] = [["access-control-allow-origin", origin]];
  const add = (name: string, value: string): void => {
    if (value !== "") headers.push([name, value]);
  };
  add("access-control-allow-credentials", cors.allowCredentials === true ? "true" : "");
  add("access-control-allow-methods", cors.allowMethods);
  add("access-control-allow-headers", cors.allowHeaders);
  add("access-control-max-age", cors.maxAge);
  return headers;
}
