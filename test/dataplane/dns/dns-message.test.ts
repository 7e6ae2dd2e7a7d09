import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  DNS_CODE,
  DNS_TYPE,
  readDnsQuery,
  writeDnsAnswer,
  writeDnsRefusal,
} from "../../../src/dataplane/dns/dns-message.ts";

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

function query(name: string, type: number, { id = 7, flags = 0x0100, kind = 1, count = 1 } = {}): Buffer {
  const labels = name === "" ? [] : name.split(".");
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(flags, 2);
  head.writeUInt16BE(count, 4);
  const tail = Buffer.alloc(5);
  tail.writeUInt16BE(type, 1);
  tail.writeUInt16BE(kind, 3);
  const words = labels.map((label) =>
    Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "latin1")]),
  );
  return Buffer.concat([head, ...words, tail]);
}

function question(name: string, type: number) {
  const read = readDnsQuery(query(name, type));
  assert.equal(read.kind, "question");
  return (read as { kind: "question" } & typeof read & { question: never }).question as Parameters<
    typeof writeDnsAnswer
  >[0];
}

test("a query's name is read in lower case, and given back as it was written", () => {
  const asked = question("WwW.IBM.com", DNS_TYPE.a);
  assert.deepEqual([asked.name, asked.type, asked.id], ["www.ibm.com", 1, 7]);
  const answer = writeDnsAnswer(asked, DNS_CODE.ok, ["198.18.0.1"], 5, 512);
  assert.equal(answer.toString("latin1", 13, 16), "WwW");
  assert.equal(answer.readUInt16BE(2) & 0x800f, 0x8000);
  assert.equal(answer.readUInt16BE(6), 1);
  assert.deepEqual([...answer.subarray(-6)], [0, 4, 198, 18, 0, 1]);
});

test("an IPv6 address is written whole, wherever its zeros are", () => {
  for (const [text, hex] of [
    ["fd00:10:96::a", "fd00001000960000000000000000000a"],
    ["::1", "00000000000000000000000000000001"],
    ["2001:db8::", "20010db8000000000000000000000000"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ] as const) {
    const answer = writeDnsAnswer(question("a", DNS_TYPE.aaaa), DNS_CODE.ok, [text], 5, 512);
    assert.equal(answer.subarray(-16).toString("hex"), hex, text);
  }
});

test("an answer that does not fit ends after a whole record and says that it is cut", () => {
  const addresses = Array.from({ length: 40 }, (_, i) => `10.0.0.${i}`);
  const asked = question("many.example", DNS_TYPE.a);
  const cut = writeDnsAnswer(asked, DNS_CODE.ok, addresses, 5, 512);
  assert.ok(cut.length <= 512);
  assert.equal(cut.readUInt16BE(2) & 0x0200, 0x0200);
  assert.equal(cut.length, 12 + asked.bytes.length + 16 * cut.readUInt16BE(6));
  const whole = writeDnsAnswer(asked, DNS_CODE.ok, addresses, 5, 65_535);
  assert.deepEqual([whole.readUInt16BE(2) & 0x0200, whole.readUInt16BE(6)], [0, 40]);
});

test("what is no question is refused by its code, and answers are not answered", () => {
  const of = (message: Buffer) => {
    const read = readDnsQuery(message);
    return read.kind === "refuse" ? read.code : read.kind;
  };
  assert.equal(of(query("a.b", 1, { flags: 0x8100 })), "ignore");
  assert.equal(of(Buffer.alloc(11)), "ignore");
  assert.equal(of(query("a.b", 1, { flags: 0x2800 })), DNS_CODE.notImplemented);
  assert.equal(of(query("a.b", 1, { count: 2 })), DNS_CODE.formatError);
  assert.equal(of(query("a.b", 1, { kind: 3 })), DNS_CODE.refused);
  assert.equal(of(query("a.b", 1).subarray(0, 16)), DNS_CODE.formatError);
  // A pointer, and a label that is too long, in the place of a label.
  const pointer = query("a.b", 1);
  pointer[12] = 0xc0;
  assert.equal(of(pointer), DNS_CODE.formatError);
  assert.equal(of(query(`${"x".repeat(64)}.b`, 1)), DNS_CODE.formatError);
  const refused = readDnsQuery(query("a.b", 1, { count: 2 }));
  assert.equal(refused.kind === "refuse" && writeDnsRefusal(refused).length, 12);
});

test(`no bytes break the reader, and each question is answered within its limit (seed ${SEED})`, () => {
  const label = fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(..."abcXYZ09-_") });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.array(label, { maxLength: 6 }), (noise, labels) => {
      readDnsQuery(Buffer.from(noise));
      const mixed = Buffer.concat([query(labels.join("."), 28), Buffer.from(noise)]);
      const read = readDnsQuery(mixed);
      assert.equal(read.kind, "question");
      if (read.kind !== "question") return;
      assert.equal(read.question.name, labels.join(".").toLowerCase());
      assert.ok(writeDnsAnswer(read.question, 0, ["::1", "::2"], 5, 512).length <= 512);
    }),
    { seed: SEED, numRuns: 300 },
  );
});
