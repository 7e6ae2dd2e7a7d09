import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CheckRequest,
  type CheckResponse,
  decodeCheckRequest,
  decodeCheckResponse,
  encodeCheckRequest,
  encodeCheckResponse,
  type HeaderAction,
} from "../../../src/dataplane/ext-authz/check-message.ts";
import { frame, unframe } from "../../../src/dataplane/ext-authz/grpc-call.ts";
import { MessageWriter, readMessage } from "../../../src/dataplane/ext-authz/protobuf-wire.ts";

const SEED = 20_261_122;
const record = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>;
const text = fc.string({ unit: "grapheme", maxLength: 20 });
const name = fc.stringMatching(/^[a-z][a-z-]{0,10}$/);
const peer = record({ ip: fc.ipV4(), port: fc.nat(65_535), principal: text });

const request: fc.Arbitrary<CheckRequest> = record({
  source: peer,
  destination: peer,
  timeMs: fc.nat(2 ** 41).map((ms) => Math.floor(ms)),
  http: fc.option(
    record({
      id: text,
      method: text,
      path: text,
      host: text,
      scheme: text,
      protocol: text,
      headers: fc.array(fc.tuple(name, text), { maxLength: 6 }).map((entries) => new Map(entries)),
      size: fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER }),
      body: text,
      rawBody: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    }),
  ),
});

test("a CheckRequest is read as it was written; time is none where there is no HTTP", () => {
  const law = fc.property(request, (given) => {
    const read = decodeCheckRequest(encodeCheckRequest(given));
    assert.deepEqual(read, given.http === null ? { ...given, timeMs: 0 } : given);
  });
  fc.assert(law, { seed: SEED, numRuns: 300 });
});

const change = record({
  name,
  value: fc.stringMatching(/^[ -~]{0,10}$/),
  action: fc.constantFrom("set" as const, "append" as const),
});
const toResponse = record({
  name,
  value: fc.stringMatching(/^[ -~]{0,10}$/),
  action: fc.constantFrom<HeaderAction>("set", "add", "add-if-absent", "overwrite-if-exists"),
});
const added = toResponse.map((one) => ({ ...one, action: "add" as const }));
const denied = record({ status: fc.nat(599), headers: fc.array(added, { maxLength: 4 }), body: text });
const response: fc.Arbitrary<CheckResponse> = record({
  code: fc.nat(16),
  ok: fc.option(
    record({
      headers: fc.array(change, { maxLength: 4 }),
      headersToRemove: fc.array(name, { maxLength: 3 }),
      responseHeaders: fc.array(toResponse, { maxLength: 4 }),
      queryToSet: fc.array(fc.tuple(name, text), { maxLength: 3 }),
      queryToRemove: fc.array(name, { maxLength: 3 }),
    }),
  ),
  denied: fc.option(denied),
  error: fc.option(denied),
});

test("a CheckResponse is read as it was written", () => {
  const law = fc.property(response, (given) => {
    assert.deepEqual(decodeCheckResponse(encodeCheckResponse(given)), given);
  });
  fc.assert(law, { seed: SEED, numRuns: 300 });
});

test("no bytes make a decoder do anything but read or refuse", () => {
  const law = fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    for (const decode of [decodeCheckRequest, decodeCheckResponse]) {
      try {
        decode(Buffer.from(bytes));
      } catch (error) {
        assert.equal((error as { code?: string }).code, "BW_PROTOBUF", String(error));
      }
    }
  });
  fc.assert(law, { seed: SEED, numRuns: 2000 });
  const flipped = fc.property(response, fc.nat(), fc.integer({ min: 0, max: 255 }), (given, at, byte) => {
    const bytes = encodeCheckResponse(given);
    if (bytes.length > 0) bytes[at % bytes.length] = byte;
    try {
      decodeCheckResponse(bytes);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "BW_PROTOBUF", String(error));
    }
  });
  fc.assert(flipped, { seed: SEED, numRuns: 500 });
});

test("unknown fields are passed over; of a field given twice the last counts", () => {
  const status = (code: number) => new MessageWriter().int(1, code);
  const bytes = new MessageWriter()
    .int(99, 5)
    .text(98, "x")
    .message(1, status(0))
    .message(1, status(7))
    .finish();
  assert.equal(decodeCheckResponse(bytes).code, 7);
  assert.equal(decodeCheckResponse(Buffer.alloc(0)).code, 0, "an empty message is OK, as with Envoy");
});

test("a varint is read whole, and a longer one refused", () => {
  const [field] = [...readMessage(new MessageWriter().int(1, -1).finish())];
  assert.equal(field?.int, -1n);
  assert.throws(() => [...readMessage(Buffer.from([8, ...Array<number>(11).fill(0x80)]))], {
    code: "BW_PROTOBUF",
  });
});

test("a frame is one uncompressed message of its length, and nothing else is", () => {
  const framed = frame(Buffer.from("abc"));
  assert.deepEqual(unframe(framed), Buffer.from("abc"));
  for (const bad of [
    framed.subarray(1),
    framed.subarray(0, 7),
    Buffer.concat([framed, framed]),
    Buffer.alloc(0),
  ])
    assert.equal(unframe(bad), undefined);
  framed[0] = 1;
  assert.equal(unframe(framed), undefined);
});
