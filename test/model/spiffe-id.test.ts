import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseSpiffeId, parseTrustDomain, workloadSpiffeId } from "../../src/model/spiffe-id.ts";

const SEED = 20260801;

function trustDomain(text: string) {
  const parsed = parseTrustDomain(text);
  assert.ok(parsed);
  return parsed;
}

test("parseTrustDomain() takes the specification's alphabet and nothing else", () => {
  for (const good of ["cluster.local", "a", "a_b-c.d", "1", "x".repeat(255)])
    assert.equal(parseTrustDomain(good), good);
  for (const bad of [
    "",
    "Cluster.local",
    "a:1",
    "a/b",
    "a@b",
    "ä",
    "a b",
    "x".repeat(256),
    "a\n",
    "%61",
    "*",
  ]) {
    assert.equal(parseTrustDomain(bad), undefined, JSON.stringify(bad));
  }
});

test("parseSpiffeId() takes Istio's form apart", () => {
  assert.deepEqual(parseSpiffeId("spiffe://cluster.local/ns/pay/sa/auditor.v1"), {
    id: "spiffe://cluster.local/ns/pay/sa/auditor.v1",
    trustDomain: "cluster.local",
    path: "/ns/pay/sa/auditor.v1",
    namespace: "pay",
    serviceAccount: "auditor.v1",
  });
});

test("parseSpiffeId() gives no namespace to a path that only resembles Istio's form", () => {
  for (const path of [
    "",
    "/ns/a",
    "/ns/a/sa",
    "/ns/a/sa/b/c",
    "/x/ns/a/sa/b",
    "/NS/a/sa/b",
    "/sa/b/ns/a",
    "/ns/a/SA/b",
  ]) {
    const parsed = parseSpiffeId(`spiffe://td${path}`);
    assert.equal(parsed?.path, path);
    assert.equal(parsed !== undefined && ("namespace" in parsed || "serviceAccount" in parsed), false, path);
  }
});

test("parseSpiffeId() refuses what the specification forbids", () => {
  const bad = [
    "",
    "spiffe:",
    "spiffe://",
    "spiffe:///a",
    "SPIFFE://td/a",
    "https://td/a",
    "spiffe:/td/a",
    " spiffe://td/a",
    "spiffe://TD/a",
    "spiffe://td:443/a",
    "spiffe://user@td/a",
    "spiffe://td/a?q",
    "spiffe://td?q",
    "spiffe://td/a#f",
    "spiffe://td/",
    "spiffe://td/a/",
    "spiffe://td//a",
    "spiffe://td/./a",
    "spiffe://td/../a",
    "spiffe://td/a/..",
    "spiffe://td/%61",
    "spiffe://td/a b",
    "spiffe://td/ä",
    "spiffe://td/a\0",
    "spiffe://td/a\n",
    "spiffe://td/a*",
    `spiffe://td/${"a".repeat(2048)}`,
  ];
  for (const uri of bad) assert.equal(parseSpiffeId(uri), undefined, JSON.stringify(uri));
  assert.ok(
    parseSpiffeId(`spiffe://td/${"a".repeat(2048 - "spiffe://td/".length)}`),
    "2048 bytes are still allowed",
  );
});

test("parseSpiffeId() inverts workloadSpiffeId(), whatever the names", () => {
  const segment = fc.stringMatching(/^[a-zA-Z0-9._-]{1,40}$/).filter((s) => s !== "." && s !== "..");
  fc.assert(
    fc.property(segment, segment, (namespace, serviceAccount) => {
      const parsed = parseSpiffeId(workloadSpiffeId(trustDomain("td.example"), namespace, serviceAccount));
      return parsed?.namespace === namespace && parsed.serviceAccount === serviceAccount;
    }),
    { seed: SEED },
  );
});

test("workloadSpiffeId() refuses names that would write another identity", () => {
  for (const [ns, sa] of [
    ["a/sa/b", "c"],
    ["", "a"],
    ["a", ""],
    ["a", ".."],
    ["a", "b?c"],
    ["a", "b#c"],
    ["a", "b/c"],
  ]) {
    assert.throws(() => workloadSpiffeId(trustDomain("td"), ns ?? "", sa ?? ""), {
      code: "BW_SPIFFE_ID_INVALID",
    });
  }
});

test("parseSpiffeId() never throws, and accepts only strings made of itself", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((s) => `spiffe://td/${s}`),
      ),
      (text) => {
        const parsed = parseSpiffeId(text);
        return parsed === undefined || `spiffe://${parsed.trustDomain}${parsed.path}` === text;
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
});
