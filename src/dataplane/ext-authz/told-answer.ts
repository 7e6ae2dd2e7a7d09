import type { HeadEdit } from "../codec/head-writer.ts";
import { NO_FIELD_LINES } from "../codec/head-writer.ts";
import type { HttpAction } from "../http-service.ts";
import { joinEdits } from "./edit-lines.ts";

/**
 * The answer with the response headers that an authorizer asked for. It let the request pass, so they belong to whatever is answered: by
 * the application, by a route, or by a policy that refuses after all (as Envoy does).
 */
export function withToldHeaders(action: HttpAction, told: HeadEdit | undefined): HttpAction {
  if (told === undefined || action.kind === "hang-up") return action;
  const { remove, add = NO_FIELD_LINES } = told;
  if (action.kind === "reply") {
    const { add: fields } = joinEdits({ remove: undefined, add: action.fields }, { remove, add });
    return { ...action, fields };
  }
  const routed = action.responseEdit;
  const first = { remove: routed?.remove, add: routed?.add ?? NO_FIELD_LINES };
  return { ...action, responseEdit: joinEdits(first, { remove, add }) };
}
