/** CUSTOM policies on their way: the authorizer asked, and what its answer makes of a request or a connection. */
import type { FlowAuthorizer } from "../../model/flow-record.ts";
import type { AuthorizerAnswer, Connection } from "../../policy/connection.ts";
import type { ExtAuthzProvider } from "../../policy/ext-authz-provider.ts";
import { HttpRequest } from "../../policy/http-request.ts";
import { type AuthorizerDemand, decideRequest, type InboundPolicy } from "../../policy/inbound.ts";
import { fieldLines, type HeadEdit, NO_FIELD_LINES } from "../codec/head-writer.ts";
import { explainDenial } from "../explain-denial.ts";
import type { BodySource, HttpAction, MutableFlow, RequestView } from "../http-service.ts";
import type { AuthorizerClient } from "./authorizer-client.ts";
import type { AllowAnswer, CheckAnswer, DenyAnswer, ErrorReply } from "./check-answer.ts";
import type { CheckInput, PeekedBody } from "./check-input.ts";
import type { CheckPeer, HeaderChange } from "./check-message.ts";
import { changeHeaders, type HeaderDifference, headerDifference } from "./header-change.ts";
import { changeQuery } from "./query-change.ts";

/** One request that a CUSTOM policy matched, with all that its authorizer may be shown. */
export interface Question {
  readonly client: AuthorizerClient;
  readonly demand: AuthorizerDemand;
  readonly policy: InboundPolicy;
  readonly connection: Connection;
  readonly request: HttpRequest;
  readonly view: RequestView;
  readonly body: BodySource;
  readonly source: CheckPeer;
  readonly destination: CheckPeer;
  readonly http2: boolean;
  /** Flat, as they would go on without an authorizer: nothing that the client forges of a proxy's own. */
  readonly forwarded: readonly string[];
  readonly flow: MutableFlow;
}

/** The authorizer lets it pass. */
export interface Passed {
  readonly kind: "passed";
  /** With the headers as the authorizer leaves them, which later policies judge: INVARIANT: what is judged is what is sent. */
  readonly request: HttpRequest;
  readonly edit: HeaderDifference | undefined;
  readonly responseEdit: HeadEdit | undefined;
}

/** Asks, records what was said, and settles what is to be done. Never rejects. */
export async function askAboutRequest(question: Question): Promise<Passed | HttpAction> {
  const { demand, client, flow } = question;
  const { provider } = demand;
  const startedMs = performance.now();
  const body = await bodyFor(question);
  if (typeof body === "string") return refuseBody(question, body);
  const answer = await client.ask(provider, inputOf(question, body));
  flow.authorizer = recordOf(provider, answer, performance.now() - startedMs);
  return settle(question, answer);
}

/** Asks about a connection of a TCP chain, and writes the answer into it. */
export async function askAboutConnection(
  client: AuthorizerClient,
  { provider }: AuthorizerDemand,
  connection: Connection,
  peers: Pick<CheckInput, "source" | "destination">,
): Promise<FlowAuthorizer> {
  const startedMs = performance.now();
  const answer = await client.ask(provider, { ...peers, timeMs: Date.now(), http: null });
  connection.authorizer = answerFor(provider, answer);
  return recordOf(provider, answer, performance.now() - startedMs);
}

/** What policy is told. INVARIANT: only a failure to ask can fail open; an answer that cannot be carried out never does. */
function answerFor(provider: ExtAuthzProvider, answer: CheckAnswer): AuthorizerAnswer {
  if (answer.kind === "error") return provider.failOpen ? "allow" : "error";
  return answer.kind === "invalid" ? "error" : answer.kind;
}

function recordOf(provider: ExtAuthzProvider, answer: CheckAnswer, durationMs: number): FlowAuthorizer {
  const { kind, status } = answer;
  const failedOpen = kind === "error" && provider.failOpen;
  return {
    provider: provider.name,
    answer: kind === "invalid" ? "error" : kind,
    status,
    durationMs,
    ...(failedOpen ? { failedOpen } : {}),
  };
}

async function bodyFor({ demand, view, body }: Question): Promise<PeekedBody | null | BodyProblem> {
  const { body: settings } = demand.provider;
  if (settings === null || view.upgrade !== undefined) return null;
  const peeked = await body.peekBody(settings.maxBytes);
  if (peeked === null || typeof peeked === "string") return peeked;
  return peeked.partial && !settings.allowPartial ? "too-large" : peeked;
}

type BodyProblem = "too-large" | "malformed" | "gone";

const BODY_PROBLEMS: Readonly<Record<BodyProblem, { status: number; body: string; why: string }>> = {
  "too-large": {
    status: 413,
    body: "Payload Too Large",
    why: "the body is longer than the authorizer is to be shown",
  },
  malformed: { status: 400, body: "the request body is malformed", why: "the body is malformed" },
  gone: { status: 400, body: "", why: "the body broke off" },
};

function refuseBody({ demand, flow }: Question, problem: BodyProblem): HttpAction {
  const { status, body, why } = BODY_PROBLEMS[problem];
  const explanation = [`${why} (provider \`${demand.provider.name}\`)`];
  Object.assign(flow, {
    verdict: "deny",
    layer: "ext-authz",
    reason: `body-${problem}`,
    status,
    explanation,
  });
  flow.policy = demand.policy;
  flow.rule = demand.rule;
  return { kind: "reply", status, fields: NO_FIELD_LINES, body, flow };
}

function inputOf(question: Question, body: PeekedBody | null): CheckInput {
  const { request, source, destination, http2, forwarded } = question;
  const claimed = firstOf(forwarded, "x-forwarded-proto");
  const scheme =
    claimed === "http" || claimed === "https"
      ? claimed
      : question.connection.tls === "plaintext"
        ? "http"
        : "https";
  return {
    source,
    destination,
    timeMs: Date.now(),
    http: {
      id: firstOf(forwarded, "x-request-id") ?? "",
      method: request.method,
      path: request.path,
      authority: request.authority,
      scheme,
      protocol: http2 ? "HTTP/2" : "HTTP/1.1",
      headers: forwarded,
      body,
    },
  };
}

function firstOf(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((text, index) => index % 2 === 0 && text === name);
  return at < 0 ? undefined : headers[at + 1];
}

function settle(question: Question, answer: CheckAnswer): Passed | HttpAction {
  const { demand, request } = question;
  switch (answer.kind) {
    case "allow":
      return pass(question, answer);
    case "deny":
      return deny(question, answer);
    case "invalid":
      return refuse(question, 500, `the authorizer's answer cannot be carried out: ${answer.why}`);
    case "error": {
      if (!demand.provider.failOpen)
        return refuse(
          question,
          demand.provider.statusOnError,
          `the authorizer could not be asked: ${answer.why}`,
          answer.reply,
        );
      request.authorizer = "allow";
      question.flow.explanation = [
        `let through unchecked, as provider \`${demand.provider.name}\` fails open: ${answer.why}`,
      ];
      return { kind: "passed", request, edit: undefined, responseEdit: undefined };
    }
  }
}

function pass(question: Question, answer: AllowAnswer): Passed | HttpAction {
  const { policy, request, view, forwarded, http2 } = question;
  const { headers: changes, headersToRemove, queryToSet, queryToRemove } = answer;
  const touched = [...changes.map(({ name }) => name), ...headersToRemove.map((name) => name.toLowerCase())];
  const target = changeQuery(view.target, queryToSet, queryToRemove);
  const changed = HttpRequest.read(
    policy.pathNormalization,
    view.method,
    target,
    request.authority,
    changeHeaders(view.headers, changes, headersToRemove),
    http2 ? 2 : 1,
  );
  if (changed === null)
    return refuse(question, 500, "the authorizer's answer makes the request's target unacceptable");
  changed.authorizer = "allow";
  const after = changeHeaders(forwarded, changes, headersToRemove);
  return {
    kind: "passed",
    request: changed,
    edit: headerDifference(forwarded, after, touched),
    responseEdit: responseEdit(answer.responseHeaders),
  };
}

/** Those to be set take the place of the response's own; a later change of the same name counts, too. */
function responseEdit(changes: readonly HeaderChange[]): HeadEdit | undefined {
  if (changes.length === 0) return undefined;
  const set = changes.filter(({ action }) => action === "set").map(({ name }) => name);
  const lines = fieldLines(...changeHeaders([], changes, []));
  if (lines === undefined) throw new Error("BUG: an authorizer's response header was not checked");
  return { remove: new Set(set), add: lines };
}

function deny(question: Question, { code, headers, body }: DenyAnswer): HttpAction {
  const { flow, policy, connection, request } = question;
  request.authorizer = "deny";
  const verdict = decideRequest(policy, connection, request);
  noteRefusal(question, verdict.cause, code, explainDenial(policy, connection, request) ?? []);
  return { kind: "reply", status: code, fields: fieldLines(...headers) ?? NO_FIELD_LINES, body, flow };
}

function refuse(question: Question, statusOnError: number, why: string, told?: ErrorReply): HttpAction {
  const { code: status, headers, body } = told ?? { code: statusOnError, headers: [], body: "" };
  const { flow, policy, connection, request } = question;
  request.authorizer = "error";
  const verdict = decideRequest(policy, connection, request);
  noteRefusal(question, verdict.cause, status, [why, ...(explainDenial(policy, connection, request) ?? [])]);
  return { kind: "reply", status, fields: fieldLines(...headers) ?? NO_FIELD_LINES, body, flow };
}

function noteRefusal(
  { flow, demand }: Question,
  reason: string,
  status: number,
  explanation: readonly string[],
): void {
  const { policy, rule } = demand;
  Object.assign(flow, { verdict: "deny", layer: "ext-authz", reason, policy, rule, status, explanation });
}
