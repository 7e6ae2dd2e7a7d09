import { createRequire } from "node:module";

/** One request as Node's own parser read it. */
export interface LlhttpRequest {
  readonly method: string;
  readonly target: string;
  /** Names and values by turns, as received. */
  readonly headers: string[];
  readonly body: Buffer[];
  complete: boolean;
  /** It asks for another protocol: llhttp reads nothing behind it and leaves it to the server whether to go on with HTTP. */
  readonly upgrade: boolean;
}

export interface LlhttpReading {
  readonly requests: readonly LlhttpRequest[];
  /** Its code, where it stopped at an error. */
  readonly error: string | undefined;
}

interface Parser {
  [event: number]: unknown;
  initialize(type: number, resource: object, maxHeaderBytes: number, lenientFlags: number): void;
  execute(bytes: Buffer): number | (Error & { code?: string });
  finish(): undefined | (Error & { code?: string });
  close(): void;
}

interface HttpCommon {
  readonly methods: readonly string[];
  readonly HTTPParser: {
    new (): Parser;
    readonly REQUEST: number;
    readonly RESPONSE: number;
    readonly kOnMessageBegin: number;
    readonly kOnHeaders: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
  };
}

// Not public, but the parser itself: http.Server adds rules of its own, and takes twenty times as long.
const { HTTPParser, methods } = createRequire(import.meta.url)("node:_http_common") as HttpCommon;
/** Telling llhttp that the message has no body. */
const SKIP_BODY = 1;
/** That it has none, and what follows is not HTTP. */
const SKIP_BODY_AND_REST = 2;

/** What llhttp, in its strict mode, makes of the bytes of one connection. */
export function readByLlhttp(bytes: Buffer): LlhttpReading {
  const requests: LlhttpRequest[] = [];
  const early: string[] = [];
  let earlyUrl = "";
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, 256 * 1024, 0);
  parser[HTTPParser.kOnHeaders] = (headers: string[], url: string) => {
    const open = requests.at(-1);
    // Of an open request these are trailers.
    if (open !== undefined && !open.complete) return;
    early.push(...headers);
    earlyUrl += url;
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    headers: string[] | undefined,
    method: number,
    url: string | undefined,
    _status: number,
    _message: string,
    upgrade: boolean,
  ) => {
    const own = [...early, ...(headers ?? [])];
    early.length = 0;
    const target = earlyUrl + (url ?? "");
    earlyUrl = "";
    requests.push({
      method: methods[method] ?? "",
      target,
      headers: own,
      body: [],
      complete: false,
      upgrade,
    });
    return methods[method] === "CONNECT" ? SKIP_BODY_AND_REST : 0;
  };
  parser[HTTPParser.kOnBody] = (part: Buffer) => requests.at(-1)?.body.push(Buffer.from(part));
  parser[HTTPParser.kOnMessageComplete] = () => {
    const open = requests.at(-1);
    if (open !== undefined) open.complete = true;
  };
  const result = parser.execute(bytes);
  const error = typeof result === "number" ? undefined : (result.code ?? result.message);
  parser.close();
  return { requests, error };
}

/** One response, interim ones too. */
export interface LlhttpResponse {
  readonly status: number;
  /** Names and values by turns, as received; not the trailers. */
  readonly headers: readonly string[];
  readonly body: Buffer[];
  complete: boolean;
}

/** What llhttp, in its strict mode, makes of the bytes of a server that answers a request and closes the connection. */
export function readResponsesByLlhttp(
  bytes: Buffer,
  method: string,
): { readonly responses: readonly LlhttpResponse[]; readonly error: string | undefined } {
  const responses: LlhttpResponse[] = [];
  const early: string[] = [];
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.RESPONSE, {}, 256 * 1024, 0);
  parser[HTTPParser.kOnHeaders] = (headers: string[]) => {
    const open = responses.at(-1);
    if (open === undefined || open.complete) early.push(...headers);
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    headers: string[] | undefined,
    _method: number,
    _url: string | undefined,
    status: number,
  ) => {
    responses.push({ status, headers: [...early, ...(headers ?? [])], body: [], complete: false });
    early.length = 0;
    if (status === 101 || (method === "CONNECT" && status >= 200 && status < 300)) return SKIP_BODY_AND_REST;
    return method === "HEAD" ? SKIP_BODY : 0;
  };
  parser[HTTPParser.kOnBody] = (part: Buffer) => responses.at(-1)?.body.push(Buffer.from(part));
  parser[HTTPParser.kOnMessageComplete] = () => {
    const open = responses.at(-1);
    if (open !== undefined) open.complete = true;
  };
  const result = parser.execute(bytes);
  const ended = typeof result === "number" ? parser.finish() : result;
  parser.close();
  return { responses, error: ended === undefined ? undefined : (ended.code ?? ended.message) };
}
