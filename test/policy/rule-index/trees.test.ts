import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCidrBlock, parseIpAddress } from "../../../src/policy/ip-address.ts";
import { AddressTree, blockKey } from "../../../src/policy/rule-index/address-tree.ts";
import { RadixTree } from "../../../src/policy/rule-index/radix-tree.ts";

function block(text: string) {
  const parsed = parseCidrBlock(text);
  assert.ok(parsed !== undefined);
  return parsed;
}

test("blockKey() is the family and the bits that count", () => {
  assert.deepEqual(
    ["10.0.0.0/8", "10.1.2.3/8", "0.0.0.0/0", "::/0", "8000::/3", "255.0.0.1/9", "::1"].map((text) =>
      blockKey(block(text)),
    ),
    ["4/00001010", "4/00001010", "4/", "6/", "6/100", "4/111111110", `6/${"0".repeat(127)}1`],
  );
});

test("AddressTree: blocks come from the widest to the narrowest, after what is there already", () => {
  const texts = ["10.1.0.5", "10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::1", "fd00::/8", "10.1.0.4/31"];
  const tree = new AddressTree(texts.map((text, id) => ({ block: block(text), id })));
  const found = (text: string) => {
    const out = Int32Array.from([99, 0, 0, 0, 0, 0]);
    const address = parseIpAddress(text);
    assert.ok(address !== undefined);
    return [...out.subarray(0, tree.collect(address, out, 1))];
  };
  assert.deepEqual(found("10.1.0.5"), [99, 2, 1, 6, 0]);
  assert.deepEqual(found("10.1.0.4"), [99, 2, 1, 6]);
  assert.deepEqual(found("11.0.0.0"), [99, 2]);
  assert.deepEqual(found("fd00::1"), [99, 3, 5, 4]);
  assert.deepEqual(found("::"), [99, 3]);
});

test("RadixTree: prefixes come from the shortest to the longest, after what is there already", () => {
  const texts = ["/api/v1", "/", "/api", "/apis", "", "/b", "/api/v2", "/c/d", "/c/e", "\uffff"];
  const found = (only: readonly string[], text: string) => {
    const tree = new RadixTree(only.map((own) => ({ text: own, id: texts.indexOf(own) })));
    const ways = [false, true].map((backwards) => {
      const out = Int32Array.from([99, ...new Array<number>(texts.length).fill(0)]);
      const read = backwards ? [...text].toReversed().join("") : text;
      return [...out.subarray(1, tree.collect(read, backwards, out, 1))].map((id) => texts[id]);
    });
    assert.deepEqual(ways[0], ways[1]);
    return ways[0];
  };
  assert.deepEqual(found(texts, "/api/v1/x"), ["", "/", "/api", "/api/v1"]);
  assert.deepEqual(found(texts, "/api"), ["", "/", "/api"]);
  assert.deepEqual(found(texts, "/ap"), ["", "/"]);
  assert.deepEqual(found(texts, "/c/"), ["", "/"]);
  assert.deepEqual(found(texts, "/c/e"), ["", "/", "/c/e"]);
  assert.deepEqual(found(texts, ""), [""]);
  assert.deepEqual(found(texts, "\uffff"), ["", "\uffff"]);
  assert.deepEqual(found(["/api/v1", "/api/v2"], "/api/v2"), ["/api/v2"]);
  assert.deepEqual(found(["/api/v1", "/api/v2"], "/api"), []);
  assert.deepEqual(found(["/api"], "/api"), ["/api"]);
  assert.deepEqual(found([], "/api"), []);
  assert.deepEqual(found([], ""), []);
});
