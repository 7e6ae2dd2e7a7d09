import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  cidrContains,
  formatIpAddress,
  parseCidrBlock,
  parseIpAddress,
} from "../../src/policy/ip-address.ts";

const contains = (block: string, address: string): boolean => {
  const parsed = parseCidrBlock(block);
  const ip = parseIpAddress(address);
  assert.ok(parsed !== undefined && ip !== undefined);
  return cidrContains(parsed, ip);
};

test("parseIpAddress() takes IPv4 and IPv6 and nothing ambiguous", () => {
  for (const text of [
    "0.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "2001:db8::1",
    "1:2:3:4:5:6:7:8",
    "::ffff:10.0.0.1",
  ])
    assert.notEqual(parseIpAddress(text), undefined, text);
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "1.2.3.4:80",
    "[::1]",
    "::1%eth0",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "::12345",
    "1.2.3.4::",
    "0x7f.1",
    "1:2:3:4:5:6:7:8::",
  ])
    assert.equal(parseIpAddress(text), undefined, text);
});

test("an IPv4-mapped address is the IPv4 address", () => {
  assert.deepEqual(parseIpAddress("::ffff:10.0.0.1"), parseIpAddress("10.0.0.1"));
});

test("parseCidrBlock() refuses lengths beyond the family's", () => {
  for (const text of ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "x/8"])
    assert.equal(parseCidrBlock(text), undefined, text);
});

test("cidrContains() at and beyond the edges, in both families, never across them", () => {
  assert.ok(contains("10.1.1.0/25", "10.1.1.127"));
  assert.ok(!contains("10.1.1.0/25", "10.1.1.128"));
  assert.ok(contains("0.0.0.0/0", "255.1.2.3"));
  assert.ok(!contains("0.0.0.0/0", "::1"));
  assert.ok(contains("2001:db8::/33", "2001:db8:7fff::1"));
  assert.ok(!contains("2001:db8::/33", "2001:db8:8000::1"));
  assert.ok(contains("10.1.1.9/8", "10.200.0.1"));
  assert.ok(!contains("10.2.3.4", "10.2.3.5"));
});

test("parse ∘ format = id", () => {
  fc.assert(
    fc.property(fc.ipV4(), (text) => assert.equal(formatIpAddress(parseIpAddress(text) ?? never()), text)),
    { seed: 1, numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const parsed = parseIpAddress(text) ?? never();
      assert.deepEqual(parseIpAddress(formatIpAddress(parsed)), parsed);
    }),
    { seed: 1, numRuns: 300 },
  );
});

const v4 = (word: number) => ({ family: 4, words: [word, 0, 0, 0] });
const v6 = (...words: number[]) => ({ family: 6, words });

/** Text, and the address that it is. */
const ADDRESSES: readonly (readonly [string, object | undefined])[] = [
  ["10.1.2.3", v4(0x0a010203)],
  ["255.255.255.255", v4(0xffffffff)],
  ["0.0.0.0", v4(0)],
  ["::ffff:1.2.3.4", v4(0x01020304)],
  ["::ffff:102:304", v4(0x01020304)],
  ["0:0:0:0:0:ffff:1.2.3.4", v4(0x01020304)],
  ["::1.2.3.4", v6(0, 0, 0, 0x01020304)],
  ["1::ffff:1.2.3.4", v6(0x10000, 0, 0xffff, 0x01020304)],
  ["0:0:1:0:0:ffff:102:304", v6(0, 0x10000, 0xffff, 0x01020304)],
  ["::fffe:1.2.3.4", v6(0, 0, 0xfffe, 0x01020304)],
  ["::", v6(0, 0, 0, 0)],
  ["1::", v6(0x10000, 0, 0, 0)],
  ["1:2:3:4:5:6:7::", v6(0x10002, 0x30004, 0x50006, 0x70000)],
  ["::2:3:4:5:6:7:8", v6(2, 0x30004, 0x50006, 0x70008)],
  ["1:2:3:4:5:6:7:8", v6(0x10002, 0x30004, 0x50006, 0x70008)],
  ["1:2:3:4:5:6:1.2.3.4", v6(0x10002, 0x30004, 0x50006, 0x01020304)],
  ["ABcd::ef01", v6(0xabcd0000, 0, 0, 0xef01)],
  ["1.2.3.4::1", undefined],
  ["::1.2.3.4:1", undefined],
  ["1:1.2.3.4::", undefined],
  ["::1.2.3", undefined],
  ["::1.2.3.256", undefined],
  ["1:2:3:4:5:6:7:1.2.3.4", undefined],
  ["1:2:3:4::5:6:7:8", undefined],
  ["::1::", undefined],
  [":1", undefined],
  ["1:", undefined],
  [":::", undefined],
  ["::g", undefined],
  ["x1::", undefined],
  ["1x::", undefined],
  ["1.2.3.04", undefined],
  ["1.2.3.4x", undefined],
  ["x1.2.3.4", undefined],
  ["1.2.3.1234", undefined],
  ["1.2..3", undefined],
];

for (const [text, expected] of ADDRESSES)
  test(`parseIpAddress(${JSON.stringify(text)}) is ${expected === undefined ? "no address" : "the address"}`, () => {
    assert.deepEqual(parseIpAddress(text), expected);
  });

test("parseCidrBlock(): an address and its length; alone, all of its bits", () => {
  assert.deepEqual(parseCidrBlock("10.0.0.1"), { address: v4(0x0a000001), prefixLength: 32 });
  assert.deepEqual(parseCidrBlock("::1"), { address: v6(0, 0, 0, 1), prefixLength: 128 });
  assert.deepEqual(parseCidrBlock("10.0.0.1/0"), { address: v4(0x0a000001), prefixLength: 0 });
  assert.deepEqual(parseCidrBlock("10.0.0.1/32"), { address: v4(0x0a000001), prefixLength: 32 });
  assert.deepEqual(parseCidrBlock("::1/128"), { address: v6(0, 0, 0, 1), prefixLength: 128 });
  for (const text of [
    "/8",
    "",
    "10.0.0.1/8/8",
    "10.0.0.1/8x",
    "10.0.0.1/x8",
    "10.0.0.1/1000",
    "::/0128",
    "::/ 8",
  ])
    assert.equal(parseCidrBlock(text), undefined, text);
});

test("cidrContains() looks at each bit of the length and at none after it", () => {
  const ip = (text: string) => parseIpAddress(text) ?? never();
  for (let length = 0; length <= 128; length++) {
    const zero = { address: ip("8000::"), prefixLength: length };
    for (const bit of [length - 1, length]) {
      if (bit < 0 || bit > 127) continue;
      const words = [0x80000000, 0, 0, 0].map((word, index) =>
        bit >> 5 === index ? (word ^ (1 << (31 - (bit & 31)))) >>> 0 : word,
      ) as unknown as [number, number, number, number];
      assert.equal(cidrContains(zero, { family: 6, words }), bit >= length, `bit ${bit} of /${length}`);
    }
  }
  assert.ok(!cidrContains({ address: ip("0.0.0.0"), prefixLength: 0 }, ip("::")));
});

test("formatIpAddress() writes IPv4 with dots and IPv6 in full", () => {
  const texts = ["0.0.0.0", "255.254.1.128", "1:2:3:4:5:6:7:8", "fd00::ABCD", "::ffff:1.2.3.4"];
  assert.deepEqual(
    texts.map((text) => formatIpAddress(parseIpAddress(text) ?? never())),
    ["0.0.0.0", "255.254.1.128", "1:2:3:4:5:6:7:8", "fd00:0:0:0:0:0:0:abcd", "1.2.3.4"],
  );
});

function never(): never {
  throw new Error("does not parse");
}
