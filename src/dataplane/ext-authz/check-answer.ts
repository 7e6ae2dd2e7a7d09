/** What authorizers answer, in one form for both protocols. */
import type { ExtAuthzProvider } from "../../policy/ext-authz-provider.ts";
import type { CheckDenied, CheckOk, CheckResponse, HeaderChange } from "./check-message.ts";
import { isChangeable, isSound } from "./header-change.ts";

export interface AllowAnswer extends CheckOk {
  readonly kind: "allow";
  /** As in FlowAuthorizer. */
  readonly status: number;
}

export interface DenyAnswer {
  readonly kind: "deny";
  readonly status: number;
  /** HTTP status for the caller. */
  readonly code: number;
  /** Flat: names and values by turns. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** It could not be asked. `why` is for the record: it never quotes what the authorizer sent. */
export interface FailedAnswer {
  readonly kind: "error";
  readonly status: number | undefined;
  readonly why: string;
  /** What the caller is told, where the authorizer says so itself; else nothing, with `statusOnError`. */
  readonly reply?: ErrorReply;
}

export interface ErrorReply {
  readonly code: number;
  /** Flat: names and values by turns. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** It answered what cannot be carried out: refused, also by providers that fail open. */
export interface InvalidAnswer {
  readonly kind: "invalid";
  readonly status: number | undefined;
  readonly why: string;
}

export type CheckAnswer = AllowAnswer | DenyAnswer | FailedAnswer | InvalidAnswer;

/** An answer by HTTP. */
export interface HttpCheckResponse {
  readonly status: number;
  /** Flat: lower-case names and values by turns. */
  readonly headers: readonly string[];
  readonly body: string;
}

const HEADERS_TO_REMOVE = "x-envoy-auth-headers-to-remove";
const DENIED_CODE = 403;

/**
 * 200 allows, 5xx is a failure of the authorizer's, everything else denies and is what the caller is given.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/ext_authz_filter
 */
export function answerFromHttp(
  provider: ExtAuthzProvider,
  { status, headers, body }: HttpCheckResponse,
): CheckAnswer {
  if (status >= 500) return { kind: "error", status, why: `it answered ${status}` };
  const own = headerPairs(headers).filter(([name]) => name !== HEADERS_TO_REMOVE && isChangeable(name));
  if (status !== 200) return denyByHttp(provider, status, own, body);
  const { http } = provider;
  const changes = (matches: (name: string) => boolean, action: "set" | "add"): HeaderChange[] =>
    own.filter(([name]) => matches(name)).map(([name, value]) => ({ name, value, action }));
  const removals = headerPairs(headers).filter(([name]) => name === HEADERS_TO_REMOVE);
  const answer: AllowAnswer = {
    kind: "allow",
    status,
    headers: changes((name) => http?.toUpstreamOnAllow.matches(name) === true, "set"),
    headersToRemove: removals.flatMap(([, names]) => names.split(",").map((name) => name.trim())),
    responseHeaders: changes((name) => http?.toDownstreamOnAllow.matches(name) === true, "add"),
    queryToSet: [],
    queryToRemove: [],
  };
  return checked(answer);
}

/** Besides those listed; without a list all are passed on. */
const ALWAYS_TOLD: ReadonlySet<string> = new Set(["www-authenticate", "location"]);

function denyByHttp(
  { http }: ExtAuthzProvider,
  status: number,
  headers: readonly (readonly [string, string])[],
  body: string,
): CheckAnswer {
  if (status < 200) return { kind: "invalid", status, why: `it answered ${status}` };
  const listed = http?.toDownstreamOnDeny ?? null;
  const told = headers.filter(([name]) => listed === null || listed.matches(name) || ALWAYS_TOLD.has(name));
  return { kind: "deny", status, code: status, headers: typedByBody(told, body), body };
}

/** Without a body there is nothing to have a type: Envoy says none then, whatever the authorizer does. */
function typedByBody(
  headers: readonly (readonly [name: string, value: string])[],
  body: string,
): readonly string[] {
  return headers.filter(([name]) => body !== "" || name !== "content-type").flat();
}

/** Code 0 allows; an `error_response` is a failure of the authorizer's; everything else denies. */
export function answerFromGrpc({ code, ok, denied, error }: CheckResponse): CheckAnswer {
  if (code === 0) return checked({ ...NO_CHANGES, ...ok, kind: "allow", status: 0 });
  if (error !== null) return failedByItself(code, error);
  return denyByGrpc(code, denied ?? { status: 0, headers: [], body: "" });
}

function failedByItself(status: number, error: CheckDenied): CheckAnswer {
  const failed = { kind: "error", status, why: `it says that it failed (code ${status})` } as const;
  if (error.status === 0) return failed;
  const told = denyByGrpc(status, error);
  return told.kind === "deny"
    ? { ...failed, reply: { code: told.code, headers: told.headers, body: told.body } }
    : told;
}

const NO_CHANGES: CheckOk = {
  headers: [],
  headersToRemove: [],
  responseHeaders: [],
  queryToSet: [],
  queryToRemove: [],
};

function denyByGrpc(status: number, denied: CheckDenied): CheckAnswer {
  const code = denied.status === 0 ? DENIED_CODE : denied.status;
  if (code < 200 || code > 599) return invalid(status, "its answer has a status that is none");
  const headers = denied.headers.filter(({ name }) => isChangeable(name));
  if (!headers.every(isSound)) return invalid(status, "its answer has a header that cannot be sent");
  return {
    kind: "deny",
    status,
    code,
    headers: typedByBody(
      headers.map(({ name, value }) => [name, value]),
      denied.body,
    ),
    body: denied.body,
  };
}

/** Names or values that would break a head are not sent in part: the whole answer is refused, as Envoy's `validate_mutations` does. */
function checked(answer: AllowAnswer): CheckAnswer {
  const { headers, responseHeaders, queryToSet, queryToRemove, status } = answer;
  for (const change of [...headers, ...responseHeaders]) {
    if (!isSound(change) || !isChangeable(change.name))
      return invalid(
        status,
        "it wants to change a header that it may not, or to a value that cannot be sent",
      );
  }
  if (responseHeaders.some(({ action }) => action === "add-if-absent" || action === "overwrite-if-exists"))
    return invalid(
      status,
      "it wants response headers changed by what the response holds, which is not done here",
    );
  const query = [...queryToSet.flat(), ...queryToRemove];
  if (!query.every((text) => /^[\w.~%*+!$'(),;:@/?-]*$/.test(text)))
    return invalid(status, "it wants a query parameter that is not percent-encoded");
  return answer;
}

function invalid(status: number | undefined, why: string): InvalidAnswer {
  return { kind: "invalid", status, why };
}

function headerPairs(headers: readonly string[]): (readonly [name: string, value: string])[] {
  return headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1] ?? ""] as const] : []));
}
