import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BODY_LIMITS } from "../../../src/dataplane/codec/http1-body-reader.ts";
import { parseRequestHead, type RequestHead } from "../../../src/dataplane/codec/http1-head.ts";
import { BodyPeek } from "../../../src/dataplane/ext-authz/body-peek.ts";

const SEED = 20_261_122;

function headOf(framing: string): RequestHead {
  const bytes = Buffer.from(`POST / HTTP/1.1\r\nhost: a\r\n${framing}\r\n\r\n`, "latin1");
  const head = parseRequestHead(bytes, 0, bytes.length);
  if (head.kind === "refusal") throw new Error(head.detail);
  return head;
}

function chunkedOf(chunks: readonly Uint8Array[]): Buffer {
  const parts = chunks
    .filter(({ length }) => length > 0)
    .flatMap((data) => [Buffer.from(`${data.length.toString(16)};x="a;b"\r\n`), data, Buffer.from("\r\n")]);
  return Buffer.concat([...parts, Buffer.from("0\r\nx-trailer: 1\r\n\r\n")]);
}

function feed(peek: BodyPeek, bytes: Buffer, pieces: readonly number[]): Buffer {
  let at = 0;
  for (const piece of [...pieces, bytes.length]) {
    if (peek.done) break;
    const end = Math.min(bytes.length, at + piece);
    peek.take(bytes.subarray(at, end));
    at = end;
  }
  return bytes.subarray(0, at);
}

const content = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 8 });
const cuts = fc.array(fc.integer({ min: 1, max: 7 }), { maxLength: 200 });

test("what is peeked at is the content's beginning, however it is framed and cut; what was taken goes on as it came", async () => {
  const law = fc.asyncProperty(
    content,
    cuts,
    fc.nat(60),
    fc.boolean(),
    async (chunks, pieces, maxBytes, chunked) => {
      const whole = Buffer.concat(chunks);
      const wire = chunked ? chunkedOf(chunks) : whole;
      if (wire.length === 0) return;
      const framing = chunked ? "transfer-encoding: chunked" : `content-length: ${whole.length}`;
      const peek = new BodyPeek(headOf(framing), BODY_LIMITS, maxBytes);
      const taken = feed(peek, wire, pieces);
      assert.ok(peek.done);
      assert.deepEqual(peek.taken, taken);
      const partial = whole.length > maxBytes;
      assert.deepEqual(await peek.outcome, { bytes: Buffer.from(whole.subarray(0, maxBytes)), partial });
    },
  );
  await fc.assert(law, { seed: SEED, numRuns: 300 });
});

test("broken framing is told, and so is a client that goes away", async () => {
  const broken = new BodyPeek(headOf("transfer-encoding: chunked"), BODY_LIMITS, 100);
  broken.take(Buffer.from("3\r\nabc5"));
  assert.equal(await broken.outcome, "malformed");
  const left = new BodyPeek(headOf("content-length: 5"), BODY_LIMITS, 100);
  left.take(Buffer.from("abc"));
  left.breakOff();
  assert.equal(await left.outcome, "gone");
});

test("a body that comes octet by octet costs bytes, not objects", () => {
  const size = 200_000;
  const peek = new BodyPeek(headOf("transfer-encoding: chunked"), BODY_LIMITS, size);
  const wire = chunkedOf(Array.from({ length: 2000 }, () => new Uint8Array(1)));
  const started = performance.now();
  for (const byte of wire) peek.take(Buffer.of(byte));
  assert.ok(peek.done);
  assert.ok(performance.now() - started < 15_000);
});
