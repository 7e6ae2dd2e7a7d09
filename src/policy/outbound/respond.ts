/** Routes that the proxy answers itself. */

import type { RedirectPlan } from "./rewrite.ts";
import type { RouteAction } from "./route-action.ts";
import type { HeaderOps, RouteRef } from "./types.ts";

/** A redirect that Envoy has no form for leaves the route without an action: not found. */
export function respondRedirect(
  by: RouteRef,
  redirect: RedirectPlan | undefined,
  headers: HeaderOps,
): RouteAction {
  if (redirect === undefined)
    return (_request, listener) => ({
      kind: "refuse",
      allowed: false,
      code: 404,
      reason: "no-route",
      by,
      listener,
    });
  return (request, listener) => ({
    kind: "respond",
    allowed: false,
    code: redirect.code,
    reason: "redirect",
    by,
    listener,
    location: redirect.locate(request),
    responseHeaders: headers,
  });
}

export function respondDirectly(
  by: RouteRef,
  answer: { readonly status?: number; readonly body?: { readonly string?: string; readonly bytes?: string } },
  headers: HeaderOps,
): RouteAction {
  const code = answer.status ?? 200;
  const body = answer.body?.string ?? decodeBase64(answer.body?.bytes);
  return (_request, listener) => ({
    kind: "respond",
    allowed: false,
    code,
    reason: "direct-response",
    by,
    listener,
    ...(body === undefined ? {} : { body }),
    responseHeaders: headers,
  });
}

/** What does not decode is no body: validation has reported it. */
function decodeBase64(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(text));
  } catch {
    return undefined;
  }
}
