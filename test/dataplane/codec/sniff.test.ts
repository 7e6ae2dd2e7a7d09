import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sniffProtocol } from "../../../src/dataplane/codec/sniff.ts";

function sniff(text: string): string {
  return sniffProtocol(Buffer.from(text, "latin1"));
}

const CASES: readonly (readonly [bytes: string, protocol: string])[] = [
  ["\x16\x03", "tls"],
  ["\x16\x03\x01\x02\x00\x01", "tls"],
  ["\x16\x02", "other"],
  ["\x15\x03\x01", "other"],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", "http2"],
  ["PRI * HTTP/2.0\r\n\r\nXX", "other"],
  ["GET /", "http1"],
  ["DELETE /a HTTP/1.1\r\n", "http1"],
  ["PURGE /", "http1"],
  ["OPTIONS * HTTP/1.1\r\n", "http1"],
  ["CONNECT a:443 HTTP/1.1\r\n", "http1"],
  ["GET http://a/ HTTP/1.0\r\n", "http1"],
  ["CUSTOM /a HTTP/1.1\r\n", "http1"],
  ["CUSTOM /a HTTP/1.1\n", "other"],
  ["CUSTOM /a\r\n", "other"],
  ["GET key\r\n", "other"],
  ["GET * HTTP/2.0\r\n", "other"],
  ["GET a\x01b", "other"],
  ['CONNECT {"verbose":true}\r\n', "other"],
  ["SSH-2.0-OpenSSH_9.6 Debian\r\n", "other"],
  ["EHLO mail\r\n", "other"],
  ["\r\nGET / HTTP/1.1\r\n", "other"],
  ["\0", "other"],
  ["\x03\0\0\x13", "other"],
  ["A".repeat(40), "other"],
  [`GET a${"a".repeat(9_000)}`, "http1"],
];

for (const [bytes, protocol] of CASES) {
  test(`sniffProtocol() calls ${JSON.stringify(bytes.slice(0, 40))} ${protocol}`, () => {
    assert.equal(sniff(bytes), protocol);
  });
}

test("sniffProtocol() asks for more while two answers are possible", () => {
  for (const bytes of [
    "",
    "\x16",
    "P",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
    "PR",
    "G",
    "GET",
    "GET ",
    "GET a",
    "SSH-2.0-x",
    "CUSTOM /a HTTP/1.1\r",
  ]) {
    assert.equal(sniff(bytes), "need-more", JSON.stringify(bytes));
  }
});

test("sniffProtocol() never takes an answer back when more bytes come", () => {
  const starts = fc.constantFrom(...CASES.map(([bytes]) => bytes).filter((bytes) => bytes.length < 100));
  const property = fc.property(
    fc.oneof(starts, fc.string({ unit: "binary", maxLength: 30 })),
    fc.string({ maxLength: 30 }),
    (start, more) => {
      const bytes = Buffer.from(start + more, "latin1");
      let answer = "need-more";
      for (let length = 0; length <= bytes.length; length++) {
        const next = sniffProtocol(bytes.subarray(0, length));
        if (answer !== "need-more") assert.equal(next, answer);
        answer = next;
      }
    },
  );
  fc.assert(property, { seed: 20_260_105, numRuns: 2_000 });
});
