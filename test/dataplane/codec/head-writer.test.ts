import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  fieldLines,
  joinFieldLines,
  NO_FIELD_LINES,
  writeLocalReply,
  writeRequestHead,
  writeResponseHead,
} from "../../../src/dataplane/codec/head-writer.ts";
import {
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
} from "../../../src/dataplane/codec/http1-head.ts";

function request(text: string): RequestHead {
  const bytes = Buffer.from(text, "latin1");
  const head = parseRequestHead(bytes, 0, bytes.length);
  assert.ok(head.kind === "request", head.kind === "refusal" ? head.code : "");
  return head;
}

function lines(...fields: string[]) {
  const made = fieldLines(...fields);
  assert.ok(made !== undefined);
  return made;
}

test("fieldLines() refuses whatever could end or fold a line", () => {
  for (const bad of [
    "a\r\nb: c",
    "a\nb",
    "a\rb",
    "a\0",
    "a\x7f",
    " a",
    "a ",
    "\ta",
    "\u010d",
    "\u010a",
    "\u560a",
  ]) {
    assert.equal(fieldLines("x", bad), undefined, JSON.stringify(bad));
  }
  for (const bad of ["", "x:", "x y", "x\r\n", "\u0158", "\u560a"])
    assert.equal(fieldLines(bad, "v"), undefined);
  assert.equal(fieldLines("x"), undefined);
  assert.equal(lines("x-a", "1", "x-b", "\xe9 \t z"), "x-a: 1\r\nx-b: \xe9 \t z\r\n");
});

test("writeRequestHead() without edits copies the end-to-end lines as sent", () => {
  const text = "GET /a HTTP/1.1\r\nHoSt: Mesh\r\nX-A:1\r\nx-b:  2 \r\n\r\n";
  assert.equal(writeRequestHead(request(text)), text);
});

test("writeRequestHead() removes, replaces, adds, and takes hop-by-hop headers out", () => {
  const head = request(
    "GET http://mesh/a HTTP/1.1\r\nA: 1\r\nConnection: keep-alive, x-drop\r\nX-Drop: 1\r\nHost: mesh:80\r\nB: 2\r\nC: 3\r\n" +
      "TE: trailers\r\nUpgrade: h2c\r\n\r\n",
  );
  assert.equal(
    writeRequestHead(head, {
      remove: new Set(["b"]),
      add: lines("x-new", "v"),
      path: "/z",
      authority: "next:1",
      close: true,
    }),
    "GET /z HTTP/1.1\r\nhost: next:1\r\nA: 1\r\nC: 3\r\nx-new: v\r\nconnection: close, te\r\nte: trailers\r\n\r\n",
  );
  assert.equal(
    writeRequestHead(head),
    "GET /a HTTP/1.1\r\nhost: mesh\r\nA: 1\r\nB: 2\r\nC: 3\r\nconnection: te\r\nte: trailers\r\n\r\n",
  );
});

test("writeRequestHead() removes every line of a name, first and last included", () => {
  const head = request("GET / HTTP/1.1\r\nX: 1\r\nHost: a\r\nx: 2\r\nY: 3\r\nX: 4\r\n\r\n");
  assert.equal(
    writeRequestHead(head, { remove: new Set(["x"]) }),
    "GET / HTTP/1.1\r\nHost: a\r\nY: 3\r\n\r\n",
  );
});

test("writeRequestHead() keeps an upgrade and refuses an unsound edit", () => {
  const head = request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n");
  assert.equal(
    writeRequestHead(head),
    "GET / HTTP/1.1\r\nHost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
  );
  for (const bad of ["", "/ HTTP/1.1\r\nX: y", "/a b", "/\0"]) {
    assert.throws(() => writeRequestHead(head, { path: bad }), /^Error: BUG: /);
  }
  assert.throws(() => writeRequestHead(head, { authority: "a\r\nX: y" }), /^Error: BUG: /);
});

test("writeResponseHead() keeps status, reason and end-to-end lines", () => {
  const text = "HTTP/1.0 404 Not Here\r\nServer: x\r\nKeep-Alive: 5\r\nContent-Length: 3\r\n\r\n";
  const bytes = Buffer.from(text, "latin1");
  const head = parseResponseHead(bytes, 0, bytes.length, { method: "GET", upgrade: undefined });
  assert.ok(head.kind === "response");
  assert.equal(
    writeResponseHead(head, { remove: new Set(["server"]), close: true, add: NO_FIELD_LINES }),
    "HTTP/1.1 404 Not Here\r\nContent-Length: 3\r\nconnection: close\r\n\r\n",
  );
});

test("writeLocalReply() is a response that the parser accepts, with the length in octets", () => {
  for (const [status, body] of [
    [403, "RBAC: access denied"],
    [503, "é"],
    [426, ""],
  ] as const) {
    const reply = Buffer.from(writeLocalReply(status, lines("x-a", "b"), body, { close: true }), "latin1");
    const end = reply.indexOf("\r\n\r\n") + 4;
    const head = parseResponseHead(reply, 0, end, { method: "GET", upgrade: undefined });
    assert.ok(head.kind === "response");
    assert.deepEqual(
      [head.status, head.keepAlive, head.contentLength],
      [status, false, Buffer.byteLength(body)],
    );
    assert.equal(reply.subarray(end).toString("utf8"), body);
  }
  const headOnly = writeLocalReply(403, joinFieldLines(), "body", { headOnly: true });
  assert.ok(headOnly.endsWith("content-length: 4\r\n\r\n"));
});

test("parse ∘ write ∘ parse is parse", () => {
  const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,12}$/);
  const value = fc.stringMatching(/^[!-~]([ -~\t\xa0-\xff]{0,20}[!-~])?$/);
  const heads = fc.record({
    method: fc.constantFrom("GET", "POST", "OPTIONS"),
    path: fc.stringMatching(/^\/[!"$-~]{0,30}$/),
    absolute: fc.boolean(),
    framing: fc.constantFrom(
      "",
      "Content-Length: 5\r\n",
      "Transfer-Encoding: chunked\r\n",
      "TE: trailers\r\n",
    ),
    connection: fc.constantFrom("", "Connection: x-a\r\n", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    fields: fc.array(fc.tuple(token, value), { maxLength: 10 }),
  });
  let seen = 0;
  const property = fc.property(heads, ({ method, path, absolute, framing, connection, fields }) => {
    const target = absolute ? `http://mesh${path}` : path;
    const extra = fields.map(([name, text]) => `X-${name}: ${text}\r\n`).join("");
    const bytes = Buffer.from(
      `${method} ${target} HTTP/1.1\r\nhost: mesh\r\n${framing}${extra}${connection}\r\n`,
      "latin1",
    );
    const first = parseRequestHead(bytes, 0, bytes.length);
    if (first.kind === "refusal") return;
    seen++;
    const second = request(writeRequestHead(first));
    const plain = ({ block: _b, target: _t, form: _f, scheme: _s, ...rest }: RequestHead) => rest;
    assert.deepEqual(plain(second), plain(first));
    assert.equal(writeRequestHead(second), writeRequestHead(first));
  });
  fc.assert(property, { seed: 20_260_102, numRuns: 1_000 });
  assert.ok(seen > 500, `${seen} sound heads`);
});
