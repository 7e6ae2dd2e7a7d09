import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bodyReader, LengthReader } from "../../../src/dataplane/codec/http1-body.ts";
import {
  BODY_LIMITS,
  BODY_MALFORMED,
  type BodyReader,
} from "../../../src/dataplane/codec/http1-body-reader.ts";
import { ChunkedReader } from "../../../src/dataplane/codec/http1-chunked.ts";
import { askLlhttp } from "./llhttp-oracle.ts";

const SEED = 20_260_103;

interface Reading {
  /** Octets of the message, or the refusal's code. */
  readonly outcome: number | string;
  readonly done: boolean;
}

/** Reads the bytes cut at the given places, stopping where a proxy would. */
function readCut(reader: BodyReader, bytes: Buffer, cuts: readonly number[]): Reading {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let start = 0;
  for (const end of [...places, bytes.length]) {
    const at = reader.read(bytes, start, end);
    if (at === BODY_MALFORMED) return { outcome: reader.refusal?.code ?? "no reason", done: false };
    start = at;
    if (reader.done) return { outcome: at, done: true };
    assert.equal(at, end, "a reader that is not done takes all");
  }
  return { outcome: start, done: false };
}

function readChunked(text: string, cuts: readonly number[] = [], limits = BODY_LIMITS): Reading {
  return readCut(new ChunkedReader(limits), Buffer.from(text, "latin1"), cuts);
}

const REFUSED: readonly (readonly [body: string, code: string])[] = [
  ["5\nhello\r\n0\r\n\r\n", "bare-lf"],
  ["5\rhello\r\n0\r\n\r\n", "bare-cr"],
  ["5\r\nhello\n0\r\n\r\n", "chunk-terminator-invalid"],
  ["5\r\nhello\r0\r\n\r\n", "chunk-terminator-invalid"],
  ["5\r\nhelloX\r\n0\r\n\r\n", "chunk-terminator-invalid"],
  ["5\r\nhello0\r\n\r\n", "chunk-terminator-invalid"],
  ["\r\nhello", "chunk-size-invalid"],
  ["0x5\r\nhello\r\n", "chunk-size-invalid"],
  ["-5\r\nhello\r\n", "chunk-size-invalid"],
  ["+5\r\nhello\r\n", "chunk-size-invalid"],
  [" 5\r\nhello\r\n", "chunk-size-invalid"],
  ["5 \r\nhello\r\n", "chunk-size-invalid"],
  ["5\t;a\r\nhello\r\n", "chunk-size-invalid"],
  ["5_\r\nhello\r\n", "chunk-size-invalid"],
  ["5\0\r\nhello\r\n", "chunk-size-invalid"],
  ["g\r\n", "chunk-size-invalid"],
  ["00000000000005\r\nhello\r\n", "chunk-size-invalid"],
  ["10000000000000005\r\nhello\r\n", "chunk-size-invalid"],
  ["ffffffffffffffff\r\nhello\r\n", "chunk-size-invalid"],
  ["5;a\nhello\r\n0\r\n\r\n", "bare-lf"],
  ["5;a\rhello\r\n0\r\n\r\n", "bare-cr"],
  ["5;a\0\r\nhello\r\n", "chunk-extension-invalid"],
  ["5; a=b\r\nhello\r\n", "chunk-extension-invalid"],
  ['5;a="\r\nhello\r\n', "chunk-extension-invalid"],
  ['5;a="\\"\r\nhello\r\n', "chunk-extension-invalid"],
  ["5;\r\nhello\r\n", "chunk-extension-invalid"],
  ["5;;a\r\nhello\r\n", "chunk-extension-invalid"],
  ["5;=b\r\nhello\r\n", "chunk-extension-invalid"],
  ["5;a=\r\nhello\r\n", "chunk-extension-invalid"],
  ["5;a=b=c\r\nhello\r\n", "chunk-extension-invalid"],
  ['5;a="b"c\r\nhello\r\n', "chunk-extension-invalid"],
  ["5;a=\x80\r\nhello\r\n", "chunk-extension-invalid"],
  [`5;${"a".repeat(4096)}\r\nhello\r\n`, "chunk-extension-invalid"],
  [`1;${"a".repeat(60)}\r\nx\r\n`.repeat(70), "chunk-extension-invalid"],
  ["0\r\n\n", "bare-lf"],
  ["0\r\n\rX", "bare-cr"],
  ["0\r\nX: y\n\r\n", "bare-lf"],
  ["0\r\nX: y\rZ: z\r\n\r\n", "bare-cr"],
  ["0\r\n X: y\r\n\r\n", "obs-fold"],
  ["0\r\nX: y\r\n z\r\n\r\n", "obs-fold"],
  ["0\r\nX : y\r\n\r\n", "space-before-colon"],
  ["0\r\n: y\r\n\r\n", "header-name-empty"],
  ["0\r\nX\r\n\r\n", "header-name-invalid"],
  ["0\r\nX(: y\r\n\r\n", "header-name-invalid"],
  ["0\r\nX: \0\r\n\r\n", "header-value-invalid"],
  ["0\r\nGET / HTTP/1.1\r\n\r\n", "space-before-colon"],
  ["0\r\nContent-Length: 5\r\n\r\n", "trailer-forbidden"],
  ["0\r\ntransfer-ENCODING: chunked\r\n\r\n", "trailer-forbidden"],
  ["0\r\nHost: x\r\n\r\n", "trailer-forbidden"],
  ["0\r\nAuthorization: x\r\n\r\n", "trailer-forbidden"],
  ["0\r\nCookie: x\r\n\r\n", "trailer-forbidden"],
  ["0\r\nX-Forwarded-Client-Cert: x\r\n\r\n", "trailer-forbidden"],
  ["0\r\nX_Forwarded_For: x\r\n\r\n", "trailer-forbidden"],
  ["0\r\nTrailer: x\r\n\r\n", "trailer-forbidden"],
  [`0\r\nX: ${"y".repeat(8192)}\r\n\r\n`, "trailer-too-large"],
  [`0\r\n${"X: y\r\n".repeat(33)}\r\n`, "trailer-too-large"],
];

for (const [body, code] of REFUSED) {
  test(`ChunkedReader refuses ${JSON.stringify(body.slice(0, 50))} as ${code}, however it is cut`, () => {
    assert.deepEqual(readChunked(body), { outcome: code, done: false });
    const everyByte = Array.from({ length: body.length }, (_, i) => i);
    assert.deepEqual(readChunked(body, everyByte), { outcome: code, done: false });
  });
}

const ACCEPTED = [
  "0\r\n\r\n",
  "000\r\n\r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  "A\r\n0123456789\r\na\r\n0\r\n\r\n\r\n567\r\n0\r\n\r\n",
  '5;a=b;c="d ; \\" e"\r\nhello\r\n0;x\r\n\r\n',
  "0\r\nX-Checksum: \t1 \r\ngrpc-status:0\r\n\r\n",
];

for (const body of ACCEPTED) {
  test(`ChunkedReader accepts ${JSON.stringify(body)} and leaves pipelined bytes, however it is cut`, () => {
    for (const behind of ["", "GET / HTTP/1.1\r\n\r\n", "0\r\n\r\n", "\r\n"]) {
      const everyByte = Array.from({ length: body.length + behind.length }, (_, i) => i);
      assert.deepEqual(readChunked(body + behind), { outcome: body.length, done: true });
      assert.deepEqual(readChunked(body + behind, everyByte), { outcome: body.length, done: true });
    }
  });
}

test("ChunkedReader limits the sum of the chunks", () => {
  const limits = { ...BODY_LIMITS, maxBodyBytes: 9 };
  assert.equal(readChunked("5\r\nhello\r\n4\r\nhell\r\n0\r\n\r\n", [], limits).done, true);
  assert.equal(readChunked("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", [], limits).outcome, "body-too-large");
  // Refused on the announcement, not when the data has been forwarded.
  assert.equal(readChunked("a\r\n", [], limits).outcome, "body-too-large");
});

test("LengthReader takes exactly its length", () => {
  const bytes = Buffer.from("hello, world");
  assert.deepEqual(readCut(new LengthReader(5), bytes, [2, 3]), { outcome: 5, done: true });
  assert.deepEqual(readCut(new LengthReader(12), bytes, []), { outcome: 12, done: true });
  assert.deepEqual(readCut(new LengthReader(13), bytes, []), { outcome: 12, done: false });
  assert.equal(new LengthReader(0).done, true);
});

test("bodyReader() is done at once for no body, and never for a body that ends with the connection", () => {
  assert.equal(bodyReader({ bodyKind: "none", contentLength: 0 }).done, true);
  assert.equal(bodyReader({ bodyKind: "length", contentLength: 1 }).done, false);
  assert.equal(bodyReader({ bodyKind: "length", contentLength: 1 }).endsWithConnection, false);
  assert.equal(bodyReader({ bodyKind: "chunked", contentLength: 0 }).endsWithConnection, false);
  for (const bodyKind of ["close", "tunnel"] as const) {
    const reader = bodyReader({ bodyKind, contentLength: 0 });
    assert.equal(reader.read(Buffer.from("abc"), 1, 3), 3);
    assert.deepEqual([reader.done, reader.endsWithConnection], [false, true]);
  }
});

const mutatedBody = fc
  .tuple(
    fc.constantFrom(...ACCEPTED, ...REFUSED.map(([body]) => body).filter((body) => body.length < 100)),
    fc.array(
      fc.tuple(
        fc.nat(100),
        fc.nat(2),
        fc.constantFrom("\r", "\n", "\r\n", ";", '"', "0", "5", "f", " ", "\t", "\0", "X: y\r\n", ":"),
      ),
      { maxLength: 3 },
    ),
  )
  .map(([body, edits]) =>
    edits.reduce((text, [at, cut, insert]) => {
      const where = at % (text.length + 1);
      return text.slice(0, where) + insert + text.slice(where + cut);
    }, body),
  );

test("ChunkedReader gives the same result for every way to cut the same bytes", () => {
  const property = fc.property(mutatedBody, fc.array(fc.nat(200), { maxLength: 12 }), (body, cuts) => {
    assert.deepEqual(readChunked(body, cuts), readChunked(body));
  });
  fc.assert(property, { seed: SEED, numRuns: 3_000 });
});

test("ChunkedReader ends a message at the very byte where strict llhttp does", async () => {
  let completed = 0;
  let refusedByBoth = 0;
  const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const ask = (body: string) => askLlhttp(Buffer.from(head + body, "latin1"), true);
  const property = fc.asyncProperty(mutatedBody, async (body) => {
    const ours = readChunked(body);
    if (!ours.done) {
      if (!(await ask(body)).accepted) refusedByBoth++;
      return;
    }
    completed++;
    const message = body.slice(0, Number(ours.outcome));
    const theirs = await ask(message);
    assert.ok(theirs.accepted, `llhttp refuses: ${theirs.accepted ? "" : theirs.code}`);
    assert.equal((await ask(message.slice(0, -1))).accepted, false);
  });
  await fc.assert(property, { seed: SEED, numRuns: 2_000 });
  assert.ok(completed > 100 && refusedByBoth > 100, `${completed} completed, ${refusedByBoth} refused`);
});

test("ChunkedReader is linear: a megabyte of one-byte chunks in one-byte packets", () => {
  const reader = new ChunkedReader(BODY_LIMITS);
  const chunk = Buffer.from("1\r\nx\r\n", "latin1");
  for (let i = 0; i < 170_000; i++) {
    for (let at = 0; at < chunk.length; at++) assert.equal(reader.read(chunk, at, at + 1), at + 1);
  }
  assert.equal(reader.done, false);
});
