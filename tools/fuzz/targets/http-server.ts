import type { ByteStream, StreamHandler } from "../../../src/dataplane/byte-stream.ts";
import { NO_FIELD_LINES } from "../../../src/dataplane/codec/head-writer.ts";
import { BODY_LIMITS } from "../../../src/dataplane/codec/http1-body-reader.ts";
import { HEAD_LIMITS } from "../../../src/dataplane/codec/http1-head.ts";
import type { HttpEnvironment } from "../../../src/dataplane/http-environment.ts";
import type { HttpService, MutableFlow, RequestView } from "../../../src/dataplane/http-service.ts";
import { Http1Server } from "../../../src/dataplane/http1-server.ts";
import { DEFAULT_LIMITS } from "../../../src/dataplane/limits.ts";
import { FrontReader } from "../http-reading.ts";
import { pieces } from "../pieces.ts";
import { Random } from "../random.ts";
import { type FuzzTarget, law, type OpenTarget } from "../target.ts";
import { httpTarget } from "./http.ts";

/** The server itself on a connection in memory; every request is answered here. */
export const httpServerTarget: FuzzTarget = {
  name: "http-server",
  about:
    "HTTP/1 connections at the server: packets and pauses do not matter, one answer each, nothing is left behind",
  open: async (): Promise<OpenTarget> => ({
    ...(await httpTarget.open()),
    maxInputBytes: 16 * 1024,
    check: async (input) => {
      const whole = await serve([input]);
      const cut = await serve(pieces(input, Random.of(input)));
      law(whole.seen.join("\n") === cut.seen.join("\n"), "packets do not matter", () =>
        JSON.stringify([whole.seen, cut.seen]).slice(0, 1500),
      );
      checkSeen(input, whole.seen);
      for (const { seen, statuses, refused } of [whole, cut])
        law(statuses.length === seen.length + refused, "each request has one answer", () =>
          JSON.stringify([seen, statuses, refused]).slice(0, 1500),
        );
      return `${Math.min(whole.seen.length, 4)} ${whole.statuses.at(-1)}`;
    },
  }),
};

/** What is decided of is what the codec reads, in its order. */
function checkSeen(input: Buffer, seen: readonly string[]): void {
  const read = FrontReader.read([input]).requests.map(({ head }) => `${head.method} ${head.target}`);
  const both = Math.min(read.length, seen.length);
  law(
    seen.slice(0, both).join("\n") === read.slice(0, both).join("\n"),
    "what is decided is what was read",
    () => JSON.stringify([read, seen]).slice(0, 1500),
  );
}

interface Served {
  readonly seen: readonly string[];
  /** Of all answers. */
  readonly statuses: readonly string[];
  /** Answers to what was no request. */
  readonly refused: number;
}

async function serve(parts: readonly Buffer[]): Promise<Served> {
  const seen: string[] = [];
  let refused = 0;
  const live = new Set<never>();
  const stream = new MemoryStream();
  const service: HttpService = {
    decide: ({ method, target }: RequestView) => {
      seen.push(`${method} ${target}`);
      return { kind: "reply", status: 200, fields: NO_FIELD_LINES, body: "", flow: {} as MutableFlow };
    },
    malformed: () => {
      refused++;
      return {} as MutableFlow;
    },
  };
  const watched = new Set<unknown>();
  const env = {
    deadlines: {
      nowMs: 1,
      watch: (one: unknown) => void watched.add(one),
      forget: (one: unknown) => void watched.delete(one),
    },
    limits: DEFAULT_LIMITS,
    headLimits: HEAD_LIMITS,
    bodyLimits: BODY_LIMITS,
    flows: { push: () => {} },
    counters: { requests: 0, denied: 0, failed: 0 },
    live,
    draining: false,
  } as unknown as HttpEnvironment;
  let closed = 0;
  new Http1Server(stream as unknown as ByteStream, service, env, () => closed++);
  for (const part of parts) {
    // Pipelined requests are read in later turns; what is paused gets nothing.
    for (let turn = 0; stream.paused && turn < 5000; turn++) await Promise.resolve();
    if (stream.ended || stream.paused) break;
    stream.handler?.onData(part);
  }
  for (let quiet = 0; quiet < 50; quiet++) await Promise.resolve();
  for (let length = -1; length !== seen.length; ) {
    length = seen.length;
    for (let quiet = 0; quiet < 50; quiet++) await Promise.resolve();
  }
  stream.handler?.onClose(undefined);
  law(closed === 1 && live.size + watched.size === 0, "a closed connection leaves nothing behind");
  return { seen, refused, statuses: stream.written.match(/^HTTP\/1\.1 \d\d\d/gm) ?? [] };
}

/** As much of a ByteStream as the server asks for while it answers itself. */
class MemoryStream {
  handler: StreamHandler | undefined;
  written = "";
  paused = false;
  ended = false;

  writeLatin1(text: string): boolean {
    this.written += text;
    return true;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.ended = true;
  }

  destroyAfterFlush(): void {
    this.ended = true;
  }
}
