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

function never(): never {
  throw new Error("does not parse");
}
