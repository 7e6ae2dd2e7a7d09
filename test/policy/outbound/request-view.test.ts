import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { authorityHost, type RequestParts, RequestView } from "../../../src/policy/outbound/request-view.ts";

const PARTS: RequestParts = { authority: "web", method: "GET", headers: [] };

function viewOf(path: string, headers: readonly string[] = []): RequestView {
  return new RequestView({ ...PARTS, headers }, path, path);
}

test("a view has the request's parts, the path as sent beside the normalized one", () => {
  const claims = { sub: "alice" };
  const headers = ["x-a", "1"];
  const view = new RequestView({ ...PARTS, headers, roll: 0.5, claims }, "/a/./b?q", "/a/b?q");
  const { method, authority, roll, sent, path, pathOnly, search } = view;
  assert.deepEqual(
    { method, authority, roll, sent, path, pathOnly, search },
    {
      method: "GET",
      authority: "web",
      roll: 0.5,
      sent: "/a/./b?q",
      path: "/a/b?q",
      pathOnly: "/a/b",
      search: "?q",
    },
  );
  assert.equal(view.claims, claims);
  assert.equal(view.headers, headers);
});

test("without a roll only what happens always happens; a roll of 0 is a roll", () => {
  assert.equal(viewOf("/").roll, 1);
  assert.equal(new RequestView({ ...PARTS, roll: 0 }, "/", "/").roll, 0);
});

test("the query begins at the first question mark", () => {
  const split = (path: string): readonly string[] => [viewOf(path).pathOnly, viewOf(path).search];
  assert.deepEqual(split("/a"), ["/a", ""]);
  assert.deepEqual(split("/a?"), ["/a", "?"]);
  assert.deepEqual(split("/a?b?c"), ["/a", "?b?c"]);
  assert.deepEqual(split("?b"), ["", "?b"]);
});

describe("header()", () => {
  test("joins the values of a name by commas; a value is no name", () => {
    const view = viewOf("/", ["x-a", "1", "x-b", "x-a", "x-a", "", "x-a", "3"]);
    assert.equal(view.header("x-a"), "1,,3");
    assert.equal(view.header("x-b"), "x-a");
    assert.equal(view.header("1"), undefined);
    assert.equal(view.header("x-c"), undefined);
  });
  test("an empty value is there, a name without value is not", () => {
    assert.equal(viewOf("/", ["x-a", ""]).header("x-a"), "");
    assert.equal(viewOf("/", ["x-a", "1", "x-b"]).header("x-b"), undefined);
  });
});

describe("queryParameter()", () => {
  const CASES: readonly [path: string, name: string, value: string | undefined][] = [
    ["/a?x=1&y=2", "x", "1"],
    ["/a?x=1&y=2", "y", "2"],
    ["/a?x=1&x=2", "x", "1"],
    ["/a?x&y=2", "x", ""],
    ["/a?x=", "x", ""],
    ["/a?x=1=2", "x", "1=2"],
    ["/a?=1", "", "1"],
    ["/a?x=%31", "x", "%31"],
    ["/a?x=1&&y=2", "", undefined],
    ["/a?", "", undefined],
    ["/a", "", undefined],
    ["/a?x=1", "?x", undefined],
    ["/a?x=1", "X", undefined],
    ["/x=1", "x", undefined],
  ];
  for (const [path, name, value] of CASES)
    test(`of ${path} the value of "${name}" is ${value ?? "missing"}`, () =>
      assert.equal(viewOf(path).queryParameter(name), value));

  test("is the same when asked again", () => {
    const view = viewOf("/a?x=1&y=2");
    assert.deepEqual(
      [view.queryParameter("x"), view.queryParameter("y"), view.queryParameter("x")],
      ["1", "2", "1"],
    );
  });
});

test("authorityHost(): in lower case, without a port of digits at the end", () => {
  const CASES: readonly (readonly [string, string])[] = [
    ["Web.Example:8080", "web.example"],
    ["web", "web"],
    ["web:", "web:"],
    ["web:8a", "web:8a"],
    ["web:80:81", "web:80"],
    ["[2001:DB8::1]:443", "[2001:db8::1]"],
    ["[2001:DB8::1]", "[2001:db8::1]"],
    ["", ""],
  ];
  for (const [authority, host] of CASES) assert.equal(authorityHost(authority), host, authority);
});
