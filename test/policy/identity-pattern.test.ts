import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  compileNamespaces,
  compilePrincipals,
  compileServiceAccounts,
  compileTrustDomains,
  splitAccount,
} from "../../src/policy/identity-pattern.ts";

const part = fc.constantFrom("ns", "sa", "foo", "bar", "x", "", "fo", "o");
const subject = fc
  .tuple(fc.constantFrom("spiffe://", "spiffe:/", ""), fc.array(part, { maxLength: 9 }))
  .map(([scheme, parts]) => scheme + parts.join("/"));
const quote = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
const options = { seed: 20260822, numRuns: 6000 };

test("compileServiceAccounts() decides what Istio's regular expression decides", () => {
  const value = fc.tuple(part, part).map(([namespace, name]) => `${namespace}/${name}`);
  fc.assert(
    fc.property(value, subject, (account, text) => {
      const [namespace = "", name = ""] = account.split("/");
      const pattern = `^spiffe://.+/ns/${quote(namespace)}/(.+/|)sa/${quote(name)}(/.+)?$`;
      assert.equal(compileServiceAccounts([account], "own")(text), new RegExp(pattern).test(text));
    }),
    options,
  );
});

test("compileNamespaces() decides what Istio's regular expression decides", () => {
  const value = fc
    .array(fc.constantFrom("*", "f", "o", "foo", "/", "ns"), { maxLength: 4 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(value, subject, (namespace, text) => {
      const pattern = `^.*/ns/${namespace.split("*").map(quote).join(".*")}/.*$`;
      assert.equal(compileNamespaces([namespace])(text), new RegExp(pattern).test(text));
    }),
    options,
  );
});

test("compileTrustDomains() decides what Istio's matchers decide", () => {
  const value = fc.constantFrom("*", "foo", "f*", "*o", "f*o", "fo*o", "bar*bar", "x");
  fc.assert(
    fc.property(value, subject, (trustDomain, text) => {
      const pattern =
        trustDomain === "*"
          ? "^spiffe://"
          : `^spiffe://${trustDomain.split("*").map(quote).join("[^/]*")}/.*$`;
      assert.equal(compileTrustDomains([trustDomain])(text), new RegExp(pattern).test(text));
    }),
    options,
  );
});

test("compilePrincipals(): a suffix does not reach into the scheme, a scheme in the policy never matches", () => {
  assert.ok(compilePrincipals(["*/sa/x"])("spiffe://td/ns/a/sa/x"));
  assert.ok(!compilePrincipals(["*fe://td"])("spiffe://td"));
  assert.ok(!compilePrincipals(["spiffe://td/ns/a/sa/x"])("spiffe://td/ns/a/sa/x"));
  assert.ok(compilePrincipals(["*"])("sleep.example"));
  assert.ok(!compilePrincipals(["*.example"])("sleep.example"));
});

test("a dot in a name is a dot (CVE-2026-39350)", () => {
  assert.ok(!compileServiceAccounts(["foo/a.b"], "own")("spiffe://td/ns/foo/sa/axb"));
  assert.ok(!compileNamespaces(["f.o"])("spiffe://td/ns/foo/sa/x"));
});

test("compileServiceAccounts() wants something before the namespace, and between it and the account nothing or a whole segment", () => {
  const matches = compileServiceAccounts(["foo/sleep"], "own");
  assert.ok(matches("spiffe://td/ns/foo/sa/sleep"));
  assert.ok(matches("spiffe://td/ns/foo/x/sa/sleep/extra"));
  assert.ok(!matches("spiffe://td/ns/foo//sa/sleep"));
  assert.ok(!matches("spiffe:///ns/foo/sa/sleep"));
  assert.ok(!matches("spiffe://td/ns/foo/sa/sleep/"));
  assert.ok(!matches("spiffe://td/ns/foo/sa/sleeper"));
  assert.ok(compileServiceAccounts(["sleep"], "own")("spiffe://td/ns/own/sa/sleep"));
});

test("compilePrincipals(): exact, prefixes and suffixes after the scheme; `*` is any name that is not empty", () => {
  const matches = compilePrincipals(["td/ns/a/sa/b", "p/*", "*/end", "*td"]);
  const subjects = [
    ...[
      "spiffe://td/ns/a/sa/b",
      "spiffe://p/x",
      "spiffe://p/",
      "spiffe://x/end",
      "spiffe:///end",
      "spiffe://td",
    ],
    ...[
      "td/ns/a/sa/b",
      "p/x",
      "x/end",
      "spiffe://td/ns/a/sa/bc",
      "spiffe://p",
      "http://x/end",
      "",
      "spiffe://",
    ],
  ];
  assert.deepEqual(subjects.filter(matches), subjects.slice(0, 6));
  assert.deepEqual(["", "x", "spiffe://x"].map(compilePrincipals(["*"])), [false, true, true]);
  assert.deepEqual(["", "x", "spiffe://x"].map(compilePrincipals([])), [false, false, false]);
});

test("compileNamespaces(): anywhere, also at the very start; its pieces in their order, without overlap", () => {
  assert.deepEqual(
    ["/ns/a/sa/b", "ns/a/sa/b", "spiffe://td/x/ns/a/", "spiffe://td/ns/a"].map(compileNamespaces(["a"])),
    [true, false, true, false],
  );
  assert.ok(!compileNamespaces(["ab*ba"])("/ns/aba/"));
  assert.ok(compileNamespaces(["x", "ab*ba"])("/ns/abba/"));
});

test("splitAccount() takes namespace and name apart at the first slash; without one, the policy's namespace is meant", () => {
  assert.deepEqual(
    ["a/b", "b", "a/b/c", "/b", "a/"].map((value) => splitAccount(value, "own")),
    [
      { namespace: "a", name: "b" },
      { namespace: "own", name: "b" },
      { namespace: "a", name: "b/c" },
      { namespace: "", name: "b" },
      { namespace: "a", name: "" },
    ],
  );
});

test("compileServiceAccounts(): the account may stand further on, after whole segments, where an earlier place does not do", () => {
  const matches = compileServiceAccounts(["foo/a", "bar/b"], "own");
  const subjects = [
    ...["spiffe://td/ns/foo/sa/a/x", "spiffe://td/ns/foo/sa/ab/sa/a", "spiffe://td/ns/bar/x/y/sa/b"],
    ...["spiffe://td/ns/foo/ns/foo/sa/a", "spiffe://t/ns/x/ns/foo/sa/a"],
    ...[
      "spiffe://td/ns/foo/sa/a/",
      "spiffe://td/ns/foo/xsa/a",
      "spiffe://td/ns/foo/sa/ab",
      "spiffe://td/ns/foo/sa/b",
    ],
    ...["xspiffe://td/ns/foo/sa/a", "td/ns/foo/sa/a", "spiffe:///ns/foo/sa/a", "spiffe://td/ns/foo//sa/a"],
    ...["spiffe://td/ns/foo/sa", "spiffe://td/x/foo/sa/a", "https://td/ns/foo/sa/a"],
  ];
  assert.deepEqual(subjects.filter(matches), subjects.slice(0, 5));
});

test("compileTrustDomains(): up to the first slash after the scheme; a star stands for no slash", () => {
  const subjects = [
    "spiffe://ab/x",
    "spiffe://a/x",
    "spiffe://aab/x",
    "spiffe://a/b/x",
    "spiffe://ab",
    "ab/x",
    "ab",
  ];
  const fits = (...values: string[]) => subjects.filter(compileTrustDomains(values));
  assert.deepEqual(fits("ab"), ["spiffe://ab/x"]);
  assert.deepEqual(fits("a*b"), ["spiffe://ab/x", "spiffe://aab/x"]);
  assert.deepEqual(fits("ab*b"), []);
  assert.deepEqual(fits("a*"), ["spiffe://ab/x", "spiffe://a/x", "spiffe://aab/x", "spiffe://a/b/x"]);
  assert.deepEqual(fits("*"), subjects.slice(0, 5));
  assert.deepEqual(fits("x", "a"), ["spiffe://a/x", "spiffe://a/b/x"]);
  assert.deepEqual(fits("*/x"), []);
});
