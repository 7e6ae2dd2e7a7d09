/** A head that no proxy reads is refused by the first that reads HTTP, and a Host among the headers is the host. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type AccessRequest, can } from "../../../src/index.ts";
import { checkRequest } from "../../../src/policy/path/check-request.ts";
import { app, meshOf } from "../outbound/mesh-of.ts";

const MESH = meshOf(`${app("a", "c")}${app("a", "s")}
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: d, namespace: a}
spec: {action: DENY, rules: [{to: [{operation: {hosts: [evil.com]}}]}]}
`);
const AT_SERVER: AccessRequest = { from: { workload: "a/c" }, to: { workload: "a/s", port: 80 } };
const BY_CLIENT: AccessRequest = { from: { workload: "a/c" }, to: { host: "s.a", port: 80 } };

async function decided(request: AccessRequest, semantics: "istio" | "strict" = "istio"): Promise<unknown> {
  const [decision] = await can(MESH, [request], { semantics });
  return decision === undefined ? decision : [decision.code, decision.cause, decision.hop];
}

describe("what is no head", () => {
  for (const semantics of ["istio", "strict"] as const) {
    test(`is refused by the server's proxy (${semantics})`, async () => {
      assert.deepEqual(await decided({ ...AT_SERVER, host: "a b" }, semantics), [400, "bad-request", "a/s"]);
      assert.deepEqual(await decided({ ...AT_SERVER, host: "a" }, semantics), [
        200,
        "no-allow-policies",
        "a/s",
      ]);
    });
    test(`is refused by the client's proxy, where there is one (${semantics})`, async () => {
      const gzip = { ...BY_CLIENT, headers: [["Transfer-Encoding", "gzip"]] } as const;
      const chunked = { ...BY_CLIENT, headers: [["Transfer-Encoding", "chunked"]] } as const;
      assert.deepEqual(await decided(gzip, semantics), [501, "bad-request", "a/c"]);
      assert.deepEqual(await decided(chunked, semantics), [200, "no-allow-policies", "a/s"]);
    });
  }
  test("is told where the two semantics differ", async () => {
    const [decision] = await can(MESH, [{ ...AT_SERVER, host: "a..b" }], { semantics: "istio" });
    assert.equal(decision?.allowed, true);
    assert.equal(decision?.differs?.code, 400);
  });
  test("is nothing to bytes that no proxy reads", async () => {
    const [decision] = await can(MESH, [{ ...AT_SERVER, protocol: "tcp", host: "a b" }], {});
    assert.notEqual(decision?.cause, "bad-request");
  });
});

describe("a Host among the headers", () => {
  const evil = [["Host", "evil.com"]] as const;
  test("is the host where none is given besides", async () => {
    assert.deepEqual(await decided({ ...AT_SERVER, headers: evil }), [403, "deny-matched", "a/s"]);
    assert.deepEqual(await decided({ ...AT_SERVER, headers: [["host", "good.com"]] }), [
      200,
      "no-allow-policies",
      "a/s",
    ]);
    assert.deepEqual(await decided({ ...AT_SERVER, headers: evil, host: "evil.com" }), [
      403,
      "deny-matched",
      "a/s",
    ]);
  });
  const problems = (more: Partial<AccessRequest>): readonly unknown[] =>
    checkRequest(MESH, { ...AT_SERVER, ...more }).map(({ path, message }) => [path.join("."), message]);
  test("is a mistake where it contradicts", () => {
    assert.deepEqual(problems({ headers: evil, host: "a" }), [
      ["headers.0.1", "Host is `evil.com` here, and `host` is `a`"],
    ]);
    assert.deepEqual(
      problems({
        headers: [
          ["x", "y"],
          ["HOST", "b"],
        ],
        authority: "a",
      }),
      [["headers.1.1", "Host is `b` here, and `authority` is `a`"]],
    );
    assert.deepEqual(problems({ headers: [...evil, ["Host", "b"]] }), [
      ["headers.1.1", "Host is `b` here, and another header says `evil.com`"],
    ]);
    assert.deepEqual(problems({ headers: [...evil, ...evil], host: "evil.com" }), []);
  });
  test("a line break cannot be in one header", () => {
    const message = "a header with a line break is more than one: write each by itself";
    for (const value of ["a\r\nb: c", "a\nb", "a\r"])
      assert.deepEqual(problems({ headers: [["x", value]] }), [["headers.0", message]]);
    assert.deepEqual(problems({ host: "a\r\nb" }), [
      ["host", "`host` has a line break: it cannot be one field"],
    ]);
    assert.deepEqual(problems({ headers: [["x", "a\tb"]] }), []);
  });
});
