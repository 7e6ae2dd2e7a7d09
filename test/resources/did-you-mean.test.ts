import assert from "node:assert/strict";
import { test } from "node:test";
import { didYouMean, suggestion } from "../../src/resources/did-you-mean.ts";

test("didYouMean() finds slips, swaps and wrong case, and nothing for what is not near", () => {
  const fields = ["principals", "namespaces", "ipBlocks", "serviceAccounts"];
  assert.equal(didYouMean("principal", fields), "principals");
  assert.equal(didYouMean("ipblocks", fields), "ipBlocks");
  assert.equal(didYouMean("pirncipals", fields), "principals");
  assert.equal(didYouMean("serviceAcount", fields), "serviceAccounts");
  assert.equal(didYouMean("users", fields), undefined);
  assert.equal(didYouMean("", fields), undefined);
});

test("suggestion() is a sentence or nothing", () => {
  assert.equal(suggestion("mdoe", ["mode"]), "did you mean `mode`?");
  assert.equal(suggestion("zzz", ["mode"]), "");
});
