import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dnsQuestion, dnsRcode, forgedSyn, overTcp } from "../../src/attack/packets/build-packet.ts";
import { ipv6Text, parsePacket, TCP, UDP } from "../../src/attack/packets/packet.ts";

const PARAMETERS = { seed: 20_261_122, numRuns: 300 };
const ipv4 = fc.ipV4();
const port = fc.integer({ min: 1, max: 65_535 });

/** RFC 1071: the sum over what a checksum covers, itself included, is all ones. */
function sumOf(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

test("forgedSyn() is read by parsePacket() as it was asked for, with both checksums right", () => {
  fc.assert(
    fc.property(
      ipv4,
      ipv4,
      port,
      port,
      fc.uint8Array({ maxLength: 64 }),
      (source, destination, sourcePort, destinationPort, payload) => {
        const bytes = forgedSyn({
          source,
          destination,
          sourcePort,
          destinationPort,
          payload: Buffer.from(payload),
        });
        const expected = {
          source,
          destination,
          protocol: TCP,
          sourcePort,
          destinationPort,
          payload: Buffer.from(payload),
        };
        assert.deepEqual(parsePacket(bytes), expected);
        assert.equal(sumOf(bytes.subarray(0, 20)), 0xffff);
        const tcp = bytes.subarray(20);
        const pseudo = Buffer.concat([
          bytes.subarray(12, 20),
          Buffer.from([0, TCP, tcp.length >> 8, tcp.length & 255]),
        ]);
        assert.equal(sumOf(Buffer.concat([pseudo, tcp])), 0xffff);
      },
    ),
    PARAMETERS,
  );
});

test("parsePacket() takes no packet for one that is cut off, of no known version, or shorter than it says", () => {
  const whole = forgedSyn({
    source: "10.0.0.1",
    destination: "10.0.0.2",
    sourcePort: 1,
    destinationPort: 2,
    payload: Buffer.from("x"),
  });
  assert.equal(parsePacket(Buffer.alloc(0)), undefined);
  assert.equal(parsePacket(Buffer.from([0x00, 0x01])), undefined);
  for (let length = 0; length < whole.length; length++)
    assert.equal(parsePacket(whole.subarray(0, length)), undefined, String(length));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      const packet = parsePacket(Buffer.from(bytes));
      assert.ok(packet === undefined || packet.payload.length <= bytes.length);
    }),
    PARAMETERS,
  );
});

test("parsePacket() reads UDP over IPv6, and a later fragment of IPv4 as bytes without ports", () => {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(11, 4);
  header[6] = UDP;
  header.set([0xfd, 0, 0, 0x10, 2, 0x44], 8);
  header[23] = 2;
  header.set([0x20, 0x01, 0x0d, 0xb8], 24);
  header[39] = 1;
  const udp = Buffer.from([0, 53, 0, 99, 0, 11, 0, 0, 1, 2, 3]);
  assert.deepEqual(parsePacket(Buffer.concat([header, udp])), {
    source: "fd00:10:244::2",
    destination: "2001:db8::1",
    protocol: UDP,
    sourcePort: 53,
    destinationPort: 99,
    payload: Buffer.from([1, 2, 3]),
  });
  const fragment = forgedSyn({
    source: "10.0.0.1",
    destination: "10.0.0.2",
    sourcePort: 1,
    destinationPort: 2,
    payload: Buffer.from("marked"),
  });
  fragment.writeUInt16BE(3, 6);
  const packet = parsePacket(fragment);
  assert.equal(packet?.sourcePort, undefined);
  assert.ok(packet?.payload.includes("marked"));
});

test("ipv6Text() writes addresses as RFC 5952 does", () => {
  const of = (hex: string) => ipv6Text(Buffer.from(hex, "hex"));
  assert.equal(of("00000000000000000000000000000000"), "::");
  assert.equal(of("00000000000000000000000000000001"), "::1");
  assert.equal(of("20010db8000000000000000000000000"), "2001:db8::");
  assert.equal(of("20010db8000000010000000000000001"), "2001:db8:0:1::1");
  assert.equal(of("00010002000300040005000600070008"), "1:2:3:4:5:6:7:8");
});

test("a DNS question has its name in it, over TCP its length before it; an answer's code is told in a word", () => {
  const question = dnsQuestion("marked.tunnel.example");
  assert.ok(question.includes("marked") && question.includes("tunnel"));
  assert.equal(overTcp(question).readUInt16BE(0), question.length);
  const answer = Buffer.from(question);
  answer[3] = 0x83;
  assert.equal(dnsRcode(answer), "NXDOMAIN");
  assert.equal(dnsRcode(Buffer.from("short")), undefined);
});
