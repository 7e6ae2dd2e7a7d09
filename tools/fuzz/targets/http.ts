import { type RequestEdit, writeRequestHead } from "../../../src/dataplane/codec/head-writer.ts";
import { HEAD_LIMITS, parseRequestHead } from "../../../src/dataplane/codec/http1-head.ts";
import { normalizePath } from "../../../src/policy/normalize-path.ts";
import { FrontReader, type Reading, type ReadRequest } from "../http-reading.ts";
import { type LlhttpRequest, readByLlhttp } from "../llhttp.ts";
import { pieces } from "../pieces.ts";
import { Random } from "../random.ts";
import { corpusRequests } from "../seed-files.ts";
import { type FuzzTarget, law } from "../target.ts";

const WORDS = [
  ...'GET |POST |HEAD |OPTIONS |CONNECT |PUT |DELETE |/|*|http://h|https://h:443/|h:1| HTTP/1.1\r\n| HTTP/1.0\r\n|Host: h\r\n|Content-Length: 5\r\n|Content-Length: 0\r\n|Transfer-Encoding: chunked\r\n|Transfer-Encoding: gzip, chunked\r\n|Connection: close\r\n|Connection: keep-alive, x\r\n|Connection: upgrade\r\nUpgrade: websocket\r\n|Upgrade: h2c\r\n|Expect: 100-continue\r\n|TE: trailers\r\n|Trailer: x\r\n|X-Forwarded-For: 1.2.3.4\r\n|x_forwarded_for: 1\r\n|: | :|\r\n|\r|\n|\r\n\r\n| |\t|,|;|"|\\|5\r\nhello\r\n|0\r\n\r\n|0\r\nx: y\r\n\r\n|5;a=b\r\n|5;a="b"\r\n|a|#f|?q|%00|[::1]|@|PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'.split(
    "|",
  ),
  "\x00",
  "\x0b",
  "\x7f",
  "\x80",
  "\xa0",
  "|",
];

/** One connection of a client, as our front reads it. */
export const httpTarget: FuzzTarget = {
  name: "http",
  about:
    "HTTP/1 connections: what we accept llhttp reads alike, as sent and as forwarded; packets do not matter",
  open: async () => ({
    seeds: [...heads(), ...bodies()].map((text) => Buffer.from(text, "latin1")),
    words: WORDS.map((word) => Buffer.from(word, "latin1")),
    maxInputBytes: 96 * 1024,
    check: (input) => {
      const whole = FrontReader.read([input]);
      checkPackets(input, whole);
      checkSame(input, whole.requests);
      // HTTP/1.0 is read, but answered with 426 and never sent on.
      for (const request of whole.requests) if (request.head.version === 11) checkForwarded(request);
      const shapes = whole.requests.map(
        ({ head }) => `${head.form} ${head.bodyKind}${head.upgrade === undefined ? "" : " upgrade"}`,
      );
      return `${[...new Set(shapes)].sort().join("+")} then ${whole.state}`;
    },
  }),
};

function heads(): string[] {
  const requests = corpusRequests().filter((_request, index) => index % 40 === 0);
  return requests.map(({ method = "GET", path = "/", headers = {} }) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
    return `${method} ${path} HTTP/1.1\r\nHost: payroll.finance\r\n${lines.join("")}\r\n`;
  });
}

function bodies(): string[] {
  const host = "Host: a.example:8080\r\n";
  return [
    `POST /a HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n${host}\r\n`,
    `POST /a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /b?x=1 HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
    `POST /a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5;a=b;c="d\\"e"\r\nhello\r\nA\r\n0123456789\r\n00\r\nx-sum: 1\r\ny: \r\n\r\n`,
    `CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n\x16\x03\x01`,
    `GET http://h.example/x?y#z HTTP/1.1\r\nHost: h.example\r\nX: a\tb \xe9\r\n\r\n`,
    `OPTIONS * HTTP/1.1\r\n${host}\r\n`,
    `GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n`,
    `GET /ws HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n`,
    `PUT /u HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 2\r\nConnection: x-a, keep-alive\r\nX-A: b\r\n\r\nok`,
    `GET / HTTP/1.1\r\n${host}Cookie: a=b\r\nAuthorization: Bearer x.y.z\r\nX-Forwarded-For: 1.2.3.4\r\nTE: trailers\r\nKeep-Alive: 5\r\nAccept: */*\r\n\r\n`,
  ];
}

function checkPackets(input: Buffer, whole: Reading): void {
  const cut = FrontReader.read(pieces(input, Random.of(input)));
  const plain = ({ requests, state }: Reading): string =>
    // Which of several faults is told may depend on what has arrived; that there is one may not.
    JSON.stringify([
      state.replace(/^refused .*/, "refused"),
      requests.map(({ head, framed, end }) => [head.method, head.target, head.headers, framed.length, end]),
    ]);
  law(
    plain(whole) === plain(cut),
    "packets do not matter",
    () => `${plain(whole).slice(0, 600)} / ${plain(cut).slice(0, 600)}`,
  );
}

/** llhttp refuses a fragment right behind an authority (`http://h#f`); here it is cut off, as by Envoy, and never sent on. */
const HAS_FRAGMENT = /^[A-Z]+ [^ ]*#/m;

function checkSame(input: Buffer, ours: readonly ReadRequest[]): void {
  const theirs: LlhttpRequest[] = [];
  let start = 0;
  while (theirs.length < ours.length) {
    const bytes = input.subarray(start, ours.at(-1)?.end);
    const { requests, error } = readByLlhttp(bytes);
    if (error === "HPE_INVALID_URL" && HAS_FRAGMENT.test(bytes.toString("latin1"))) return;
    theirs.push(...requests);
    const last = ours[theirs.length - 1];
    law(error === undefined, "llhttp accepts what we accept", () => error ?? "");
    // An upgrade that is not known here is left out and the request served without (RFC 9110 §7.8): llhttp starts again behind it.
    const goesOn = requests.at(-1)?.upgrade === true && last?.head.upgrade === undefined;
    law(
      goesOn || theirs.length === ours.length,
      "llhttp reads as many requests",
      () => `${theirs.length} for ${ours.length}`,
    );
    start = last?.end ?? input.length;
  }
  for (const [index, { head, content }] of ours.entries()) checkOne(head, content, theirs[index]);
}

function checkOne(head: ReadRequest["head"], content: Buffer, theirs: LlhttpRequest | undefined): void {
  law(theirs?.method === head.method, "llhttp reads the same method");
  law(theirs.complete, "llhttp finds the end where we do");
  law(
    theirs.target.replace(/#.*$/, "") === head.target,
    "llhttp reads the same target",
    () => `${theirs.target} / ${head.target}`,
  );
  const body = Buffer.concat(theirs.body);
  law(body.equals(content), "llhttp reads the same body", () => `${body.length} bytes for ${content.length}`);
}

/** What goes upstream must be read there as it was judged here. */
function checkForwarded({ head, framed, content }: ReadRequest): void {
  const path = head.form === "origin" ? normalizePath("BASE", head.path) : null;
  const edit: RequestEdit = path === null ? {} : { path };
  const text = writeRequestHead(head, edit);
  const bytes = Buffer.concat([Buffer.from(text, "latin1"), framed]);
  const { requests, error } = readByLlhttp(bytes);
  law(error === undefined, "llhttp accepts what we forward", () => `${error} ${JSON.stringify(text)}`);
  law(requests.length === 1 && requests[0]?.complete === true, "one request is forwarded as one", () =>
    JSON.stringify(text),
  );
  law(Buffer.concat(requests[0].body).equals(content), "the body is forwarded whole");
  const expected = head.form === "authority" ? head.target : (path ?? head.path);
  law(
    requests[0].target === expected,
    "the path that was judged is forwarded",
    () => `${requests[0]?.target} / ${expected}`,
  );
  const again = parseRequestHead(bytes, 0, text.length, {
    ...HEAD_LIMITS,
    maxHeadBytes: 128 * 1024,
    maxTargetBytes: 64 * 1024,
    maxHeaders: 110,
  });
  law(again.kind === "request", "we accept what we forward", () => JSON.stringify([again, text]));
  const names = (list: readonly string[]): string => JSON.stringify(pairs(list));
  law(
    names(again.headers) === names(head.headers),
    "the headers that were judged are forwarded",
    () => `${names(again.headers)} / ${names(head.headers)}`,
  );
  law(again.bodyKind === head.bodyKind && again.contentLength === head.contentLength, "framing stays");
}

/** Sorted by name; the hop's own (TE) and Host, which the target may replace, aside. */
function pairs(list: readonly string[]): (readonly [string, string])[] {
  const all = list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? ""] as const] : []));
  return all
    .filter(([name]) => name !== "host" && name !== "te")
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
