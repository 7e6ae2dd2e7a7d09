/** Kubernetes' parser and YAML 1.2 differ on a colon before a comma or a closing bracket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readDocuments } from "../../src/resources/read-documents.ts";
import { loadText, placesOf } from "./load-fixture.ts";

function read(text: string): unknown {
  const problems: unknown[] = [];
  const [document] = readDocuments("a.yaml", text, (problem) => problems.push(problem));
  assert.deepEqual(problems, []);
  return document?.value;
}

test("an IPv6 address that ends in :: is a string in flow collections, as sigs.k8s.io/yaml reads it", () => {
  assert.deepEqual(read("a: [2001:db8::]"), { a: ["2001:db8::"] });
  assert.deepEqual(read("a: [1.2.3.4, 001:db8::]"), { a: ["1.2.3.4", "001:db8::"] });
  assert.deepEqual(read("a: [fe80::, 2001:DB8::, b]"), { a: ["fe80::", "2001:DB8::", "b"] });
  assert.deepEqual(read("{x: fe80::}"), { x: "fe80::" });
  assert.deepEqual(read("{x: fe80::, z: 1}"), { x: "fe80::", z: 1 });
});

test("a colon before a blank is a key's, and other text stays as it was", () => {
  assert.deepEqual(read("a: [fe80:: , b]"), { a: [{ "fe80:": null }, "b"] });
  assert.deepEqual(read("a: [b:, {c: , d: 1}]"), { a: [{ b: null }, { c: null, d: 1 }] });
  assert.deepEqual(read(`a: ["fe80::]", 'fe80::,'] # fe80::]`), { a: ["fe80::]", "fe80::,"] });
  assert.deepEqual(read("a: |\n  fe80::]\nb: >\n  fe80::,\n"), { a: "fe80::]\n", b: "fe80::,\n" });
  assert.deepEqual(read("a: fe80::]"), { a: "fe80::]" });
});

test("such an address keeps its place, and those after it theirs", async () => {
  const policy = (blocks: string): string =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n  rules: [{from: [{source: {ipBlocks: [${blocks}]}}]}]\n`;
  assert.deepEqual(placesOf(await loadText(policy("2001:db8::"))), []);
  assert.deepEqual(placesOf(await loadText(policy("2001:db8::, x"))), ["BW1203_BAD_CIDR 5:52"]);
  assert.deepEqual(placesOf(await loadText(policy("1::db8::, 1.2.3.4"))), ["BW1203_BAD_CIDR 5:40"]);
});
