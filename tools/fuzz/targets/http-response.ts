import type { ByteStream } from "../../../src/dataplane/byte-stream.ts";
import { BODY_LIMITS } from "../../../src/dataplane/codec/http1-body-reader.ts";
import { HEAD_LIMITS, parseRequestHead, type RequestHead } from "../../../src/dataplane/codec/http1-head.ts";
import type { HttpEnvironment } from "../../../src/dataplane/http-environment.ts";
import type { ForwardAction } from "../../../src/dataplane/http-service.ts";
import { type ExchangeClient, Http1Exchange } from "../../../src/dataplane/http1-exchange.ts";
import type { PooledStream } from "../../../src/dataplane/upstream-pool.ts";
import { type LlhttpResponse, readResponsesByLlhttp } from "../llhttp.ts";
import { pieces } from "../pieces.ts";
import { Random } from "../random.ts";
import { type FuzzTarget, law } from "../target.ts";

const REQUESTS: readonly string[] = [
  "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
  "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];

const WORDS =
  "HTTP/1.1 |HTTP/1.0 |200 OK\r\n|100 Continue\r\n\r\n|103 Early Hints\r\n|101 Switching Protocols\r\n|204 No Content\r\n|304 Not Modified\r\n|502 \r\n|Content-Length: 5\r\n|Content-Length: 0\r\n|Content-Length: 5, 5\r\n|Transfer-Encoding: chunked\r\n|Transfer-Encoding: gzip, chunked\r\n|Connection: close\r\n|Connection: keep-alive, x\r\n|Connection: upgrade\r\nUpgrade: websocket\r\n|Upgrade: h2c\r\n|Set-Cookie: a=b\r\n|Trailer: x\r\n|Server: x\r\n|: | :|\r\n|\r|\n|\r\n\r\n| |\t|,|5\r\nhello\r\n|0\r\n\r\n|0\r\nx: y\r\n\r\n|5;a=b\r\n|ffffffffffffffff\r\n|\x00|\x0b|\x80|\xe9".split(
    "|",
  );

/** Its first byte chooses the request; the others are what the server's connection brings, to its end. */
export const httpResponseTarget: FuzzTarget = {
  name: "http-response",
  about:
    "HTTP/1 servers' answers: what we accept and what we send on llhttp reads alike; packets do not matter; one ending each",
  open: async () => ({
    seeds: responses().flatMap((text, index) =>
      [index % REQUESTS.length, 0].map((request) => Buffer.from(`${request}${text}`, "latin1")),
    ),
    words: WORDS.map((word) => Buffer.from(word, "latin1")),
    maxInputBytes: 96 * 1024,
    check: (input) => {
      const request = requestOf(input[0] ?? 0);
      const bytes = input.subarray(1);
      const whole = relay(request, [bytes]);
      checkPackets(whole, relay(request, pieces(bytes, Random.of(input))));
      checkEnding(whole);
      if (whole.ending.startsWith("complete")) checkRelayed(request, bytes, whole);
      return `${request.method} ${whole.ending} ${whole.reason} ${/ (\d)/.exec(whole.written)?.[1] ?? ""}`;
    },
  }),
};

function responses(): string[] {
  const ok = "HTTP/1.1 200 OK\r\n";
  return [
    `${ok}Content-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    `${ok}Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5;a=b;c="d\\"e"\r\nhello\r\nA\r\n0123456789\r\n00\r\nx-sum: 1\r\n\r\n`,
    `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello`,
    `${ok}\r\nto the end`,
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}Content-Length: 2\r\nConnection: keep-alive, x-a\r\nX-A: b\r\n\r\nok`,
    "HTTP/1.1 204\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: x\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    `${ok}Content-Length: 2\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX: a\tb \xe9\r\n\r\nok`,
    `${ok}Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond`,
  ];
}

function requestOf(byte: number): RequestHead {
  const bytes = Buffer.from(REQUESTS[byte % REQUESTS.length] ?? "", "latin1");
  const head = parseRequestHead(bytes, 0, bytes.length, HEAD_LIMITS);
  if (head.kind === "refusal") throw new Error(`BUG: ${head.code}`);
  return head;
}

interface Relayed {
  /** What the client is sent. */
  readonly written: string;
  /** `complete`, `complete+` where the client's connection goes on, `tunnel,complete`, `failed STATUS`, `aborted`. */
  readonly ending: string;
  readonly reason: string;
  /** The server's connection was kept for another request. */
  readonly kept: boolean;
  /** How often the exchange was recorded. */
  readonly records: number;
}

/** One exchange, in memory: the server sends these bytes and ends the connection. */
function relay(head: RequestHead, parts: readonly Buffer[]): Relayed {
  let written = "";
  let kept = false;
  const endings: string[] = [];
  const flows: { reason?: string | null }[] = [];
  const client: ExchangeClient = {
    relay: (_from, chunk, text = "") => {
      written += text + chunk.toString("latin1");
      return true;
    },
    writeLatin1: (text) => {
      written += text;
      return true;
    },
    pumpBody: () => {},
    answerFailure: (status) => void endings.push(`failed ${status}`),
    exchangeEnded: (reusable) => void endings.push(reusable ? "complete+" : "complete"),
    abort: () => void endings.push("aborted"),
    endWriting: () => void endings.push("tunnel"),
  };
  const server = new MemoryServer();
  const pooled = { stream: server as unknown as ByteStream, reused: false } as unknown as PooledStream;
  const env = {
    pool: { takeIdle: () => pooled, release: () => (kept = true) },
    headLimits: HEAD_LIMITS,
    bodyLimits: BODY_LIMITS,
    flows: { push: (flow: { reason?: string | null }) => void flows.push(flow) },
    counters: { requests: 0, denied: 0, failed: 0 },
    draining: false,
  } as unknown as HttpEnvironment;
  const action = { edit: {}, responseEdit: undefined, timeoutMs: 0, flow: {}, next: () => ({}) };
  const exchange = new Http1Exchange(client, env, head, action as unknown as ForwardAction, 0);
  exchange.start();
  for (const part of parts) {
    if (server.destroyed || kept) break;
    // Chunks are lent: whoever keeps one must have copied it.
    const lent = Buffer.from(part);
    exchange.onData(lent);
    lent.fill(0x58);
  }
  if (!server.destroyed && !kept) exchange.onEnd();
  if (!kept) exchange.onClose(undefined);
  return { written, ending: endings.join(), reason: flows[0]?.reason ?? "", kept, records: flows.length };
}

function checkPackets(whole: Relayed, cut: Relayed): void {
  const detail = (): string => JSON.stringify([whole, cut]).slice(0, 1500);
  // Of what breaks off, more or less may have been sent on before.
  const brokenOff = whole.ending === "aborted" && cut.ending === "aborted";
  const same = brokenOff
    ? whole.written.startsWith(cut.written) || cut.written.startsWith(whole.written)
    : whole.written === cut.written;
  law(same && whole.ending === cut.ending, "packets do not matter", detail);
  // One that is kept got nothing more; bytes that come later make it useless in the pool.
  law(whole.kept ? cut.kept : true, "packets do not matter to what is kept", detail);
}

function checkEnding({ ending, records }: Relayed): void {
  law(
    /^(complete\+?|failed 50[23]|aborted|tunnel,complete)$/.test(ending),
    "each exchange has one ending",
    () => ending,
  );
  law(records === 1, "each exchange is recorded once", () => String(records));
}

function checkRelayed(request: RequestHead, received: Buffer, { written, kept }: Relayed): void {
  const sent = Buffer.from(written, "latin1");
  const before = readResponsesByLlhttp(received, request.method);
  const after = readResponsesByLlhttp(sent, request.method);
  const detail = (): string =>
    JSON.stringify([before.error, after.error, received.toString("latin1"), written]).slice(0, 2000);
  const own = throughFinal(before.responses);
  const passed = throughFinal(after.responses);
  // Behind an interim answer that says `close`, or is HTTP/1.0, llhttp reads no more; we wait for the final one.
  if (before.error === "HPE_CLOSED_CONNECTION" && (own.at(-1)?.status ?? 0) < 200) return;
  law(own.at(-1)?.complete === true, "llhttp reads the answer that we read", detail);
  law(after.error === undefined && passed.length === after.responses.length, "one answer is sent on", detail);
  law(plain(own) === plain(passed), "statuses and bodies are what llhttp reads in what came", detail);
  if (kept) law(own.length === before.responses.length, "no connection is kept that has more to say", detail);
  for (const { headers } of passed)
    for (let at = 0; at < headers.length; at += 2)
      law(
        !HOP_BY_HOP.has(headers[at]?.toLowerCase() ?? ""),
        "no header of the server's connection goes on",
        detail,
      );
}

const HOP_BY_HOP: ReadonlySet<string> = new Set(["keep-alive", "proxy-connection", "upgrade", "te"]);

function throughFinal(all: readonly LlhttpResponse[]): readonly LlhttpResponse[] {
  const final = all.findIndex(({ status }) => status >= 200);
  return final < 0 ? all : all.slice(0, final + 1);
}

function plain(all: readonly LlhttpResponse[]): string {
  return JSON.stringify(all.map(({ status, body }) => [status, Buffer.concat(body).toString("latin1")]));
}

/** As much of a server's stream as an exchange asks for. */
class MemoryServer {
  readonly socket = { writableNeedDrain: false };
  destroyed = false;
  writeLatin1(): boolean {
    return true;
  }
  write(): boolean {
    return true;
  }
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {
    this.destroyed = true;
  }
}
