import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressCells } from "../../src/analysis/space/address-cells.ts";
import { type CidrBlock, cidrContains, parseCidrBlock, parseIpAddress } from "../../src/policy/ip-address.ts";

const BLOCKS = [
  "10.0.0.0/8",
  "10.1.0.0/16",
  "10.1.2.0/24",
  "10.1.2.3",
  "10.1.3.0/24",
  "0.0.0.0/0",
  "192.168.0.0/31",
  "192.168.0.0/32",
  "192.168.0.1/32",
  "fd00::/8",
  "fd00:1::/32",
  "::1",
  "::/0",
];
const ADDRESSES = [
  "10.1.2.3",
  "10.1.2.4",
  "10.1.3.1",
  "10.9.9.9",
  "192.168.0.0",
  "192.168.0.1",
  "8.8.8.8",
  "fd00:1::5",
  "fd00::",
  "::1",
  "2001:db8::1",
];

function blockOf(text: string): CidrBlock {
  return parseCidrBlock(text) ?? assert.fail(text);
}

test("no block tells two addresses of a cell apart, and a cell's example is in it", () => {
  fc.assert(
    fc.property(fc.subarray(BLOCKS), (texts) => {
      const blocks = texts.map(blockOf);
      const { cells, cellOf } = addressCells(blocks);
      for (const [at, { sample }] of cells.entries()) {
        const address = parseIpAddress(sample) ?? assert.fail(sample);
        assert.equal(cellOf(address), at, sample);
      }
      for (const text of ADDRESSES) {
        const address = parseIpAddress(text) ?? assert.fail(text);
        const sample = parseIpAddress(cells[cellOf(address) ?? -1]?.sample ?? "") ?? assert.fail(text);
        for (const block of blocks)
          assert.equal(cidrContains(block, sample), cidrContains(block, address), text);
      }
    }),
    { seed: 20261122, numRuns: 300 },
  );
});

test("blocks that leave nothing of the block around them leave no cell of it", () => {
  const { cells } = addressCells(["192.168.0.0/31", "192.168.0.0/32", "192.168.0.1/32"].map(blockOf));
  assert.deepEqual(
    cells.map(({ block }) => block),
    ["0.0.0.0/0", "::/0", "192.168.0.0", "192.168.0.1"],
  );
});

test("addresses are written as RFC 5952 has it", () => {
  const { cells } = addressCells(["2001:db8:0:0:1:0:0:1", "fd00::/8"].map(blockOf));
  assert.deepEqual(cells.map(({ block, sample }) => [block, sample]).slice(2), [
    ["2001:db8::1:0:0:1", "2001:db8::1:0:0:1"],
    ["fd00::/8", "fd00::1"],
  ]);
});
