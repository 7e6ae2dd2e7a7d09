import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  compileNamespaces,
  compilePrincipals,
  compileServiceAccounts,
  compileTrustDomains,
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
