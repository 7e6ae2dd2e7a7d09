import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { NO_FIELD_LINES } from "../../../src/dataplane/codec/head-writer.ts";
import { HEAD_LIMITS } from "../../../src/dataplane/codec/http1-head.ts";
import type { HttpEnvironment } from "../../../src/dataplane/http-environment.ts";
import type { HttpService, MutableFlow, RequestView } from "../../../src/dataplane/http-service.ts";
import { editedHeaders } from "../../../src/dataplane/http2-headers.ts";
import { serveHttp2 } from "../../../src/dataplane/http2-server.ts";
import type { Http2Upstreams } from "../../../src/dataplane/http2-upstreams.ts";
import { DEFAULT_LIMITS } from "../../../src/dataplane/limits.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import { field, frame, HTTP2_PREFACE } from "../../../test/dataplane/http2-frames.ts";
import { pieces } from "../pieces.ts";
import { Random } from "../random.ts";
import { type FuzzTarget, law } from "../target.ts";

const GOOD = ":method=GET|:scheme=http|:path=/good|:authority=server.a";
const POST = ":method=POST|:scheme=http|:path=/up?x=1|:authority=server.a|content-length=5|te=trailers";

/** Lines, each a frame: type and flags in hex, stream, payload. Of header blocks the fields, between bars. What is no such line is sent as it stands. */
const SEEDS: readonly string[] = [
  `04 0 0 \n1 5 1 ${GOOD}`,
  `04 0 0 \n1 5 1 ${GOOD}\n1 5 3 ${GOOD}|cookie=a=b|cookie=c=d|x-forwarded-for=1.2.3.4\n1 5 5 ${GOOD}|host=server.a`,
  `04 0 0 \n1 4 1 ${POST}\n0 1 1 hello`,
  `04 0 0 \n1 4 1 ${POST}\n0 0 1 hello\n1 5 1 x-sum=1`,
  `04 0 0 \n1 0 1 ${GOOD}\n9 4 1 x-a=b|x-c=d\n3 0 1 \x00\x00\x00\x08`,
  `04 0 0 \n1 4 1 ${POST}\n8 0 0 \x00\x00\x10\x00\n6 0 0 12345678\n2 0 1 \x00\x00\x00\x00\x10\n0 1 1 hello\n7 0 0 \x00\x00\x00\x00\x00\x00\x00\x00`,
  `04 0 0 \x00\x04\x00\x00\x00\x00\n1 5 1 ${GOOD}|authorization=Bearer x.y.z\n08 0 1 \x00\x00\x00\x05`,
  `04 0 0 \n1 5 1 :method=CONNECT|:authority=h:443\n1 5 3 :method=OPTIONS|:scheme=http|:path=*|:authority=server.a\n1 5 5 :method=GET|:scheme=https|:path=http://x/y|:authority=server.a`,
  `04 0 0 \n1 5 1 ${GOOD}|connection=close|transfer-encoding=chunked|upgrade=h2c\n1 5 3 ${GOOD}|host=other`,
];

const WORDS =
  "04 0 0 |1 5 |1 4 |1 0 |9 4 |0 1 |0 0 |3 0 |8 0 |6 0 |7 0 |2 0 |5 4 |1 3 | 1 | 3 | 5 | 7 | 2 |\n|:method=GET#|:method=get#|:path=/a/../b#|:path=//x#|:path=#|:path=x#|:authority=h#|:authority=#|:authority=a b#|:scheme=http#|:protocol=websocket#|:status=200#|host=h#|content-length=5#|content-length=5, 5#|transfer-encoding=chunked#|connection=close#|te=gzip#|cookie=a#|x_y=1#|X-Up=1#|x y=1#|x:y=1#|x=a\x00b#|x=a\rb#|x= a#|x-envoy-a=b#|\x80|\xff|\x00|/|%2e|%00|hello".split(
    "|",
  );

const TYPES_WITH_FIELDS: ReadonlySet<number> = new Set([1, 9]);

/** Whole HTTP/2 connections at the server, in memory; every request is answered here. */
export const http2Target: FuzzTarget = {
  name: "http2",
  about:
    "HTTP/2 connections at the server: what is decided can be sent on as it is, one answer each, packets do not matter, nothing is left behind",
  open: async () => ({
    seeds: SEEDS.map((text) => Buffer.from(text, "latin1")),
    words: WORDS.map((word) => Buffer.from(word.replaceAll("#", "|"), "latin1")),
    maxInputBytes: 16 * 1024,
    check: async (input) => {
      const bytes = Buffer.concat([HTTP2_PREFACE, ...framesOf(input.toString("latin1"))]);
      const whole = await serve([bytes]);
      const random = Random.of(input);
      if (random.chance(4)) {
        const cut = await serve(pieces(bytes, random));
        checkPackets(whole, cut);
      }
      return `${Math.min(whole.seen.length, 4)} ${Math.min(whole.refused.length, 3)} ${[...new Set(whole.refused)].sort().join(" ")}`;
    },
  }),
};

/** A connection that breaks ends at once: what had arrived whole before that may have been decided, or not. */
function checkPackets(whole: Served, cut: Served): void {
  const [shorter, longer] = whole.seen.length < cut.seen.length ? [whole, cut] : [cut, whole];
  const same = longer.seen.slice(0, shorter.seen.length).join("\n") === shorter.seen.join("\n");
  law(
    same && (shorter.broken || longer.broken || shorter.seen.length === longer.seen.length),
    "packets do not matter",
    () => JSON.stringify([whole, cut]).slice(0, 1500),
  );
}

function framesOf(text: string): Buffer[] {
  return text.split("\n").map((line) => {
    const parts = /^([0-9a-f]{1,2}) ([0-9a-f]{1,2}) (\d{1,9}) (.*)$/s.exec(line);
    if (parts === null) return Buffer.from(line, "latin1");
    const [, type = "", flags = "", stream = "", payload = ""] = parts;
    const kind = Number.parseInt(type, 16);
    return frame(
      kind,
      Number.parseInt(flags, 16),
      Number(stream),
      TYPES_WITH_FIELDS.has(kind) ? block(payload) : Buffer.from(payload, "latin1"),
    );
  });
}

/** Names and values longer than 126 bytes would take another form of length. */
function block(payload: string): Buffer {
  const fields = payload.split("|").filter((text) => text !== "");
  return Buffer.concat(
    fields.map((text) => {
      const mark = text.indexOf("=", 1);
      const [name, value] = mark < 0 ? [text, ""] : [text.slice(0, mark), text.slice(mark + 1)];
      return field(name.slice(0, 126), value.slice(0, 126));
    }),
  );
}

interface Served {
  readonly seen: readonly string[];
  /** Why, of each that became no request. */
  readonly refused: readonly string[];
  /** It ended by an error, or the client said that it goes away. */
  readonly broken: boolean;
}

async function serve(parts: readonly Buffer[]): Promise<Served> {
  const seen: string[] = [];
  const refused: string[] = [];
  let recorded = 0;
  const service: HttpService = {
    decide: (view: RequestView) => {
      seen.push(`${view.method} ${view.target}`);
      checkView(view);
      const flow = { verdict: "allow" } as MutableFlow;
      return { kind: "reply", status: 200, fields: NO_FIELD_LINES, body: "", flow };
    },
    malformed: (_status, reason) => {
      refused.push(reason);
      return {} as MutableFlow;
    },
  };
  const live = new Set<never>();
  const watched = new Set<unknown>();
  const env = {
    deadlines: {
      nowMs: 1,
      watch: (one: unknown) => void watched.add(one),
      forget: (one: unknown) => void watched.delete(one),
    },
    limits: DEFAULT_LIMITS,
    headLimits: HEAD_LIMITS,
    flows: { push: () => recorded++ },
    counters: { requests: 0, denied: 0, failed: 0 },
    live,
    draining: false,
  } as unknown as HttpEnvironment;
  const { promise: over, resolve: closed } = Promise.withResolvers<void>();
  const wire = new MemorySocket();
  const session = serveHttp2(wire as unknown as Socket, service, env, {} as Http2Upstreams, closed);
  for (const part of parts) {
    wire.push(part);
    await turn();
  }
  for (let before = -1; before !== wire.writes + seen.length; ) {
    before = wire.writes + seen.length;
    for (let quiet = 0; quiet < 3; quiet++) await turn();
  }
  const broken = session.destroyed || session.closed;
  wire.push(null);
  await turn();
  wire.destroy();
  await over;
  law(session.destroyed && live.size + watched.size === 0, "a closed connection leaves nothing behind");
  law(recorded === seen.length + refused.length, "each request and each refusal is recorded once", () =>
    JSON.stringify([seen, refused, recorded]).slice(0, 1500),
  );
  return { seen, refused, broken };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const OF_CONNECTIONS = /^(connection|keep-alive|proxy-connection|transfer-encoding|upgrade|http2-settings)$/;

/** What a decision is made of is what can be sent on, and read by the next as the same. */
function checkView(view: RequestView): void {
  const { method, target, authority, headers } = view;
  const request = HttpRequest.read("BASE", method, target, authority, headers, 2);
  if (request === null) return;
  const detail = (): string => JSON.stringify(view).slice(0, 1500);
  law(TOKEN.test(method.toLowerCase()), "the method is a token", detail);
  law(/^\/[\x21-\x7e\x80-\xff]*$/.test(request.path), "the path that is judged is graphic", detail);
  const sent = editedHeaders(view, { path: request.path });
  for (const [name, values] of Object.entries(sent)) {
    if (name.startsWith(":")) continue;
    law(TOKEN.test(name), "each name is a token in lower case", detail);
    law(!OF_CONNECTIONS.test(name), "no header of a connection is judged or sent on", detail);
    for (const value of [values].flat())
      law(VALUE.test(String(value)), "each value can stand in a line", detail);
  }
  law(sent[":authority"] === authority && sent.host === undefined, "there is one authority", detail);
  law(VALUE.test(authority), "the authority can stand in a line", detail);
}

/** A connection's server side, of which the client's bytes are pushed in. */
class MemorySocket extends Duplex {
  writes = 0;

  constructor() {
    super({ allowHalfOpen: false });
    this.on("error", () => {});
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes++;
    done();
  }
}
