import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { partitionAddresses } from "../../../src/policy/network/address-partition.ts";
import {
  type AddressRange,
  addressRange,
  allAddresses,
  cidrRange,
  formatAddress,
  formatRange,
  liesIn,
  subtractRanges,
} from "../../../src/policy/network/address-range.ts";

const bound = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constant(0xffff_fffe), fc.constant(0xffff_ffff));
const range: fc.Arbitrary<AddressRange> = fc
  .tuple(bound, bound, fc.constantFrom(4 as const, 4 as const, 6 as const))
  .map(([a, b, family]) => ({
    family,
    first: BigInt(Math.min(a, b)),
    last: BigInt(Math.max(a, b)),
  }));
const ranges = fc.array(range, { maxLength: 5 });
const ASKED = [
  ...Array.from({ length: 15 }, (_, at) => BigInt(at)),
  0xffff_fffdn,
  0xffff_fffen,
  0xffff_ffffn,
];
const OPTIONS = { seed: 20_261_122, numRuns: 400 };

const has = ({ family, first, last }: AddressRange, value: bigint): boolean =>
  family === 4 && first <= value && value <= last;

test("what is left of a range without others is what lies in it and in none of them: ascending and disjoint", () => {
  fc.assert(
    fc.property(range, ranges, ({ first, last }, others) => {
      const whole: AddressRange = { family: 4, first, last };
      const left = subtractRanges(whole, others);
      for (const value of ASKED)
        assert.equal(
          left.some((own) => has(own, value)),
          has(whole, value) && !others.some((other) => has(other, value)),
        );
      for (const [at, own] of left.entries()) {
        assert.equal(own.family, 4);
        assert.ok(own.first <= own.last, "not empty");
        assert.ok(own.first >= first && own.last <= last, "inside");
        assert.ok(at === 0 || own.first > (left[at - 1]?.last ?? 0n) + 1n, "in order, not adjacent");
      }
    }),
    OPTIONS,
  );
});

test("a partition covers the family in adjacent parts, and each range is a run of them: no coarser one is", () => {
  fc.assert(
    fc.property(ranges, (all) => {
      const { parts, indexesOf } = partitionAddresses(4, all);
      assert.equal(parts[0]?.first, 0n);
      assert.equal(parts.at(-1)?.last, 0xffff_ffffn);
      for (const [at, part] of parts.entries()) {
        assert.equal(part.family, 4);
        assert.ok(part.first <= part.last);
        if (at > 0) assert.equal(part.first, (parts[at - 1]?.last ?? 0n) + 1n);
      }
      const own = all.filter(({ family }) => family === 4);
      for (const one of own) {
        const [first, last] = indexesOf(one);
        assert.deepEqual([parts[first]?.first, parts[last]?.last], [one.first, one.last]);
      }
      const cuts = new Set(own.flatMap(({ first, last }) => [first, last + 1n]));
      for (const { first } of parts.slice(1))
        assert.ok(cuts.has(first), "nothing is cut where no range ends");
    }),
    OPTIONS,
  );
});

test("a family has all of its addresses, and a block those of its prefix, whatever bits are written behind it", () => {
  assert.equal(formatRange(allAddresses(4)), "0.0.0.0-255.255.255.255");
  assert.equal(formatRange(allAddresses(6)), `::-${Array(8).fill("ffff").join(":")}`);
  for (const [block, expected] of [
    ["10.1.2.3/8", "10.0.0.0-10.255.255.255"],
    ["10.1.2.3/32", "10.1.2.3-10.1.2.3"],
    ["0.0.0.0/0", "0.0.0.0-255.255.255.255"],
    ["2001:db8::/32", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["2001:db8::1/128", "2001:db8::1-2001:db8::1"],
  ] as const)
    assert.equal(formatRange(cidrRange(block)), expected);
  assert.throws(() => cidrRange("10.0.0.0/99"), /BUG.*10\.0\.0\.0/);
  assert.equal(addressRange("no address"), undefined);
});

test("IPv6 is written as RFC 5952 has it: the longest run of zeros is shortened, of equal ones the first, a single zero never", () => {
  for (const [written, expected] of [
    ["0:0:0:0:0:0:0:0", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["1:0:0:0:0:0:0:0", "1::"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"],
    ["ABCD:0:0:0:0:0:0:EF", "abcd::ef"],
  ] as const) {
    const { family, first } = addressRange(written) ?? assert.fail(written);
    assert.equal(formatAddress(family, first), expected);
  }
});

test("a range lies in a list where one of its family holds all of it", () => {
  const block = cidrRange("10.0.0.0/24");
  assert.ok(liesIn(cidrRange("10.0.0.0/25"), [cidrRange("192.0.2.0/24"), block]));
  assert.ok(liesIn(block, [block]));
  for (const other of ["10.0.0.0/23", "10.0.1.0/32", "9.255.255.255/32"])
    assert.ok(!liesIn(cidrRange(other), [block]), other);
  assert.ok(!liesIn({ ...block, family: 6 }, [block]));
});
