/** What a route has a server asked that the client did not, in words that two meshes can be compared by. */
import type { ForwardDecision, HeaderOps, OutboundTarget } from "../../../policy/outbound/types.ts";

/** `with /secret as /public, for inner.example, with x-role: admin`; undefined where it is asked what the client asks. */
export function askedAs(
  { http, path, originalPath, authority }: ForwardDecision,
  target: OutboundTarget,
): string | undefined {
  if (http === undefined) return undefined;
  const host = authority ?? target.authority;
  const parts = [
    // A prefix is rewritten in as many ways as there are paths: the one that was asked stands for them.
    ...(path === undefined
      ? []
      : [originalPath === undefined ? `as ${path}` : `with ${originalPath} as ${path}`]),
    ...(host === undefined ? [] : [`for ${host}`]),
    // Envoy goes from the most specific to the least: the target's operations first.
    ...[target.requestHeaders, http.requestHeaders].flatMap(headersText),
  ];
  return parts.length === 0 ? undefined : parts.join(", ");
}

function headersText({ remove, set, add }: HeaderOps): readonly string[] {
  return [
    ...remove.map((name) => `without ${name}`),
    ...set.map(([name, value]) => `with ${name}: ${value}`),
    ...add.map(([name, value]) => `with ${name}: ${value} added`),
  ];
}
