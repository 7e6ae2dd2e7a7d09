import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { writeRequestHead } from "../../../src/dataplane/codec/head-writer.ts";
import {
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
} from "../../../src/dataplane/codec/http1-head.ts";
import {
  findHeadEnd,
  HEAD_BARE_LF,
  HEAD_INCOMPLETE,
  HEAD_TOO_LARGE,
} from "../../../src/dataplane/codec/http1-head-end.ts";
import { askLlhttp } from "./llhttp-oracle.ts";

const SEED = 20_260_101;
const SOUND =
  "POST /api/v1?x=1 HTTP/1.1\r\nHost: mesh.local:8080\r\nContent-Length: 12\r\nConnection: keep-alive\r\n" +
  "X-Thing: a b\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nUpgrade: websocket\r\n\r\n";

/** Bytes and fragments on which HTTP parsers are known to disagree. */
const FRAGMENTS = [
  "\r", "\n", "\r\n", "\0", " ", "\t", ":", "\x0b", "\x7f", "\x80", "\xff", ",", ";", "chunked", "0", "6", "-1", "Host: a\r\n",
  "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "X: y\r\n", "\r\n x", "HTTP/1.0", "GET ",
  "http://mesh.local:8080/", "*", "/", "#", "@", "[::1]", "Upgrade: h2c\r\n",
] as const; // biome-ignore format: a flat table

const lineArbitrary = fc.constantFrom(
  "Host: mesh.local",
  "Content-Length: 5",
  "Transfer-Encoding: chunked",
  "Connection: close, x-drop",
  "X-Drop: 1",
  "X-Keep: \t v w ",
  "TE: gzip, trailers",
  "Keep-Alive: timeout=5",
  "Cookie: a=b; c=d",
  "my_header: \xe9",
);
const soundishHead = fc
  .record({
    method: fc.constantFrom("GET", "POST", "HEAD", "OPTIONS", "DELETE"),
    target: fc.constantFrom("/", "/a/b?c=d", "*", "http://mesh.local/x", "http://mesh.local"),
    version: fc.constantFrom("1.1", "1.1", "1.1", "1.0"),
    lines: fc.array(lineArbitrary, { maxLength: 8 }),
  })
  .map(({ method, target, version, lines }) =>
    [`${method} ${target} HTTP/${version}`, "Host: mesh.local", ...lines, "", ""].join("\r\n"),
  );
/** A sound head with up to four edits: insert, delete or overwrite. */
const mutatedHead = fc
  .tuple(
    fc.oneof(fc.constant(SOUND), soundishHead),
    fc.array(fc.tuple(fc.nat(300), fc.nat(4), fc.constantFrom(...FRAGMENTS)), { maxLength: 4 }),
  )
  .map(([head, edits]) =>
    edits.reduce((text, [at, cut, insert]) => {
      const where = at % text.length;
      return text.slice(0, where) + insert + text.slice(where + cut);
    }, head),
  );

function parse(text: string) {
  const bytes = Buffer.from(text, "latin1");
  return parseRequestHead(bytes, 0, bytes.length);
}

function accepted(text: string): RequestHead {
  const head = parse(text);
  assert.equal(head.kind, "request", head.kind === "refusal" ? head.code : "");
  return head as RequestHead;
}

test("parseRequestHead() reads what an ordinary request says", () => {
  const head = accepted("GET /a?b HTTP/1.1\r\nHost: mesh:80\r\nX-A: 1 \r\nx-b:\t2\r\nKeep-Alive: 5\r\n\r\n");
  const { block: _block, ...rest } = head;
  assert.deepEqual(rest, {
    kind: "request",
    method: "GET",
    target: "/a?b",
    form: "origin",
    scheme: undefined,
    path: "/a?b",
    authority: "mesh:80",
    version: 11,
    headers: ["host", "mesh:80", "x-a", "1", "x-b", "2"],
    bodyKind: "none",
    contentLength: 0,
    keepAlive: true,
    upgrade: undefined,
    expectContinue: false,
  });
});

test("parseRequestHead() turns absolute-form into path and authority, and Host into the target's", () => {
  const head = accepted("GET HTTP://Mesh:80?q HTTP/1.1\r\nHost: mesh\r\n\r\n");
  assert.deepEqual(
    [head.form, head.scheme, head.authority, head.path],
    ["absolute", "http", "Mesh:80", "/?q"],
  );
  assert.deepEqual(head.headers, ["host", "Mesh:80"]);
  assert.equal(accepted("OPTIONS http://mesh HTTP/1.1\r\nHost: mesh\r\n\r\n").path, "*");
});

test("parseRequestHead() cuts a fragment off every form of target, so that nobody judges or forwards one", () => {
  for (const [target, form, path] of [
    ["/a?b#c?d#e", "origin", "/a?b"],
    ["/#", "origin", "/"],
    ["http://a/b#c", "absolute", "/b"],
    ["http://a#/b", "absolute", "/"],
  ] as const) {
    const head = parse(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.ok(head.kind === "request", target);
    assert.deepEqual([head.form, head.path, head.target.includes("#")], [form, path, false], target);
    assert.equal(
      writeRequestHead(head),
      `GET ${path} HTTP/1.1\r\n${form === "absolute" ? "host" : "Host"}: a\r\n\r\n`,
    );
  }
});

test("parseRequestHead() reads CONNECT as authority-form", () => {
  const head = accepted("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n");
  assert.deepEqual(
    [head.form, head.authority, head.path, head.bodyKind],
    ["authority", "[::1]:443", "", "none"],
  );
});

test("parseRequestHead() keeps HTTP/1.1 alive unless told otherwise, and closes HTTP/1.0 unless told otherwise", () => {
  const keepAlive = (version: string, connection: string) =>
    accepted(`GET / HTTP/${version}\r\nHost: a\r\n${connection}\r\n`).keepAlive;
  assert.equal(keepAlive("1.1", ""), true);
  assert.equal(keepAlive("1.1", "Connection: Close\r\n"), false);
  assert.equal(keepAlive("1.1", "Connection: keep-alive\r\nConnection: close\r\n"), false);
  assert.equal(keepAlive("1.0", ""), false);
  assert.equal(keepAlive("1.0", "Connection: Keep-Alive\r\n"), true);
});

test("parseRequestHead() hides headers nominated by Connection from policy and keeps all others", () => {
  const head = accepted(
    "GET / HTTP/1.1\r\nHost: a\r\nX-Role: admin\r\nX-Keep: 1\r\nConnection: close, x-ROLE\r\n\r\n",
  );
  assert.deepEqual(head.headers, ["host", "a", "x-keep", "1"]);
});

test("parseRequestHead() upgrades to one protocol named by both headers, never to h2c", () => {
  const upgrade = (lines: string, version = "1.1") =>
    accepted(`GET / HTTP/${version}\r\nHost: a\r\n${lines}\r\n\r\n`).upgrade;
  assert.equal(upgrade("Connection: Upgrade\r\nUpgrade: WebSocket"), "websocket");
  assert.equal(upgrade("Upgrade: websocket\r\nConnection: keep-alive, upgrade"), "websocket");
  assert.equal(upgrade("Upgrade: websocket"), undefined);
  assert.equal(upgrade("Connection: upgrade"), undefined);
  assert.equal(
    upgrade("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"),
    undefined,
  );
  assert.equal(upgrade("Connection: upgrade\r\nUpgrade: websocket, h2c"), undefined);
  assert.equal(upgrade("Connection: upgrade\r\nUpgrade: websocket", "1.0"), undefined);
});

test("parseRequestHead() refuses a Content-Length over the body limit with 413", () => {
  const bytes = Buffer.from("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
  const limits = { maxHeadBytes: 1000, maxHeaders: 10, maxTargetBytes: 100, maxBodyBytes: 10 };
  const head = parseRequestHead(bytes, 0, bytes.length, limits);
  assert.equal(head.kind === "refusal" && head.status, 413);
  assert.equal(parseRequestHead(bytes, 0, bytes.length, { ...limits, maxBodyBytes: 11 }).kind, "request");
});

test("parseResponseHead() frames responses by RFC 9112 section 6.3", () => {
  const cases: readonly (readonly [head: string, method: string, bodyKind: string, keepAlive: boolean])[] = [
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", "length", true],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", "none", true],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", "chunked", true],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", "none", true],
    ["HTTP/1.1 200\r\n\r\n", "GET", "close", false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", "length", false],
    ["HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "GET", "none", true],
    ["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", "none", true],
    ["HTTP/1.1 100 Continue\r\n\r\n", "POST", "none", true],
    ["HTTP/1.1 200 OK\r\n\r\n", "CONNECT", "tunnel", false],
    ["HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", "CONNECT", "length", true],
    ["HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "GET", "tunnel", false],
  ];
  for (const [text, method, bodyKind, keepAlive] of cases) {
    const bytes = Buffer.from(text, "latin1");
    const head = parseResponseHead(bytes, 0, bytes.length, { method, upgrade: "websocket" });
    assert.ok(head.kind === "response", text);
    assert.deepEqual([head.bodyKind, head.keepAlive], [bodyKind, keepAlive], text);
    assert.equal(head.interim, text.includes(" 100 "));
  }
});

test("findHeadEnd() gives the same end wherever the last look stopped", () => {
  const head = Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\nBODY\r\n\r\n", "latin1");
  for (let cut = 1; cut < 28; cut++) {
    assert.equal(findHeadEnd(head.subarray(0, cut), 0, 0, 100), cut < 27 ? HEAD_INCOMPLETE : 27);
    if (cut < 27) assert.equal(findHeadEnd(head, 0, cut, 100), 27);
  }
});

test("findHeadEnd() reports oversize and bare LF without waiting for the end", () => {
  assert.equal(findHeadEnd(Buffer.from("GET / HTTP/1.1\r\nHost: aaaa"), 0, 0, 20), HEAD_TOO_LARGE);
  assert.equal(findHeadEnd(Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 0, 20), HEAD_TOO_LARGE);
  assert.equal(findHeadEnd(Buffer.from("GET / HTTP/1.1\nHost: a"), 0, 0, 100), HEAD_BARE_LF);
  assert.equal(findHeadEnd(Buffer.from("\nGET"), 0, 0, 100), HEAD_BARE_LF);
  assert.equal(findHeadEnd(Buffer.from("x\nGET / HTTP/1.1\r\n\r\n"), 2, 2, 100), 20);
});

test("parseRequestHead() never throws and never reads outside [start, end)", () => {
  const property = fc.property(
    fc.oneof(mutatedHead, fc.string({ unit: "binary", maxLength: 200 })),
    (text) => {
      const alone = parse(text);
      for (const around of ["\r\n", "X", " \0", "chunked"]) {
        const bytes = Buffer.from(around + text + around, "latin1");
        const inside = parseRequestHead(bytes, around.length, bytes.length - around.length);
        assert.deepEqual(inside, alone);
        const response = parseResponseHead(
          bytes,
          around.length,
          bytes.length - around.length,
          alone as RequestHead,
        );
        assert.ok(response.kind === "refusal" || response.kind === "response");
      }
    },
  );
  fc.assert(property, { seed: SEED, numRuns: 3_000 });
});

/** What llhttp saw, less what must not survive this hop, as parseRequestHead() shows it. */
function endToEnd([method, target, ...fields]: readonly string[], ours: RequestHead): readonly unknown[] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2)
    pairs.push([(fields[i] ?? "").toLowerCase(), fields[i + 1] ?? ""]);
  const hop = new Set(["connection", "keep-alive", "proxy-connection", "upgrade", "te", "http2-settings"]);
  for (const [name, value] of pairs) {
    if (name !== "connection") continue;
    for (const member of value.toLowerCase().split(","))
      if (member.trim() !== "transfer-encoding") hop.add(member.trim());
  }
  const kept = pairs.filter(
    ([name]) => !hop.has(name) && !(ours.method === "CONNECT" && name === "content-length"),
  );
  const asShown = kept.map(([name, value]) =>
    name === "host" && ours.form === "absolute" ? [name, ours.authority] : [name, value],
  );
  return [method, target?.split("#", 1)[0], ...asShown.flat()];
}

test("parseRequestHead() refuses whatever strict llhttp refuses, and else reads the same", async () => {
  let refusedByBoth = 0;
  let acceptedByBoth = 0;
  const property = fc.asyncProperty(mutatedHead, async (text) => {
    const bytes = Buffer.from(text, "latin1");
    fc.pre(findHeadEnd(bytes, 0, 0, 100_000) === bytes.length);
    const ours = parse(text);
    const theirs = await askLlhttp(bytes);
    if (ours.kind === "refusal") {
      if (!theirs.accepted) refusedByBoth++;
      return;
    }
    acceptedByBoth++;
    assert.ok(theirs.accepted, `llhttp refuses: ${theirs.accepted ? "" : theirs.code}`);
    assert.deepEqual([ours.method, ours.target, ...ours.headers], endToEnd(theirs.head, ours));
  });
  await fc.assert(property, { seed: SEED, numRuns: 4_000 });
  // The property must have seen both sides to mean anything.
  assert.ok(
    refusedByBoth > 200 && acceptedByBoth > 200,
    `${refusedByBoth} refused, ${acceptedByBoth} accepted`,
  );
});
