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

test("a word that is broken off is found where only one begins so", () => {
  assert.equal(didYouMean("REGISTRY", ["REGISTRY_ONLY", "ALLOW_ANY"]), "REGISTRY_ONLY");
  assert.equal(
    didYouMean("finance/account", ["finance/account-auditor", "finance/payroll"]),
    "finance/account-auditor",
  );
  assert.equal(didYouMean("service", ["service-entry-one", "service-entry-two"]), undefined);
  assert.equal(didYouMean("the", ["thereabouts"]), undefined, "three letters begin too much");
});
