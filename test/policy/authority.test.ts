import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isAuthority, parseAuthority, sameAuthority } from "../../src/policy/authority.ts";

test("parseAuthority() splits host and port, lower case, without brackets", () => {
  assert.deepEqual(parseAuthority("Mesh.Local:8080"), { host: "mesh.local", port: 8080 });
  assert.deepEqual(parseAuthority("a_b."), { host: "a_b.", port: undefined });
  assert.deepEqual(parseAuthority("[FD00::1]:0"), { host: "fd00::1", port: 0 });
  for (const bad of [
    "",
    ":80",
    "a:",
    "a:b",
    "a:-1",
    "a:99999",
    "a:080808",
    "[::1]x",
    "[::1]80",
    "[]",
    "a\u0430",
    "a%41",
  ]) {
    assert.equal(parseAuthority(bad), undefined, bad);
    assert.equal(isAuthority(bad), false, bad);
  }
});

test("sameAuthority() compares hosts without case and fills in the default port", () => {
  assert.equal(sameAuthority("a:80", "A", 80), true);
  assert.equal(sameAuthority("a:81", "a", 80), false);
  assert.equal(sameAuthority("a", "b", 80), false);
  assert.equal(sameAuthority("a.", "a", 80), false);
});

test("isAuthority() accepts bracketed IPv6 without zone, and nothing else in brackets", () => {
  for (const good of ["::", "::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1", "FD00::A"]) {
    assert.equal(isAuthority(`[${good}]`), true, good);
    assert.equal(isAuthority(good), false, good);
  }
  for (const bad of [
    "",
    "1",
    "1::2::3",
    "1:2:3:4:5:6:7:8:9",
    "::01.2.3.4",
    "::g",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "10.0.0.1",
    "::1]",
  ]) {
    assert.equal(isAuthority(`[${bad}]`), false, bad);
  }
});

test("isAuthority() and parseAuthority() agree and never throw", () => {
  const property = fc.property(fc.stringMatching(/^[a-z0-9:.[\]%@_ -]{0,20}$/), (text) => {
    assert.equal(isAuthority(text), parseAuthority(text) !== undefined);
  });
  fc.assert(property, { seed: 20_260_108, numRuns: 3_000 });
});
