import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeCertificateRequest, splitPem } from "../../../src/control/ca-grpc/certificate-messages.ts";
import { MessageWriter } from "../../../src/dataplane/ext-authz/protobuf-wire.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";

const SEED = 20260801;

test("decodeCertificateRequest() gives back what was written, negative durations too", () => {
  fc.assert(
    fc.property(fc.string(), fc.integer(), fc.dictionary(fc.string(), fc.string()), (csr, ttl, metadata) => {
      const struct = new MessageWriter();
      for (const [key, value] of Object.entries(metadata))
        struct.message(
          1,
          new MessageWriter().text(1, key).message(2, new MessageWriter().bytes(3, Buffer.from(value))),
        );
      const bytes = new MessageWriter().text(1, csr).int(3, ttl).message(4, struct).finish();
      const read = decodeCertificateRequest(bytes);
      assert.deepEqual([read.csr, read.validityDuration], [csr, ttl]);
      assert.deepEqual([...read.metadata].sort(), Object.entries(metadata).sort());
      assert.equal(read.otherMetadata.size, 0);
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test("a member that comes twice is the last one, whatever kinds the two are of", () => {
  const entry = (value: MessageWriter) => new MessageWriter().text(1, "k").message(2, value);
  const text = new MessageWriter().text(3, "v");
  const flag = new MessageWriter().int(4, 1);
  const read = (...values: readonly MessageWriter[]) => {
    const struct = new MessageWriter();
    for (const value of values) struct.message(1, entry(value));
    const { metadata, otherMetadata } = decodeCertificateRequest(
      new MessageWriter().message(4, struct).finish(),
    );
    return [metadata.get("k"), otherMetadata.has("k")];
  };
  assert.deepEqual(read(text, flag), [undefined, true]);
  assert.deepEqual(read(flag, text), ["v", false]);
  assert.deepEqual(read(new MessageWriter()), ["", false]);
});

test("whatever bytes come, decodeCertificateRequest() gives a request or a BulwarkError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeCertificateRequest(Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof BulwarkError, String(error));
      }
    }),
    { seed: SEED, numRuns: 1500 },
  );
});

test("splitPem() gives one certificate a text, each with one newline at its end, in order", () => {
  const block = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----`;
  assert.deepEqual(splitPem(`${block("a")}\n\n${block("b")}`, `# root\n${block("c")}`), [
    `${block("a")}\n`,
    `${block("b")}\n`,
    `${block("c")}\n`,
  ]);
  assert.throws(() => splitPem("", "nothing"), BulwarkError);
});
