import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldLines } from "../../../src/dataplane/codec/head-writer.ts";
import type { HeaderAction } from "../../../src/dataplane/ext-authz/check-message.ts";
import { headersAfter, joinEdits } from "../../../src/dataplane/ext-authz/edit-lines.ts";
import {
  changeHeaders,
  headerDifference,
  isChangeable,
} from "../../../src/dataplane/ext-authz/header-change.ts";
import { changeQuery } from "../../../src/dataplane/ext-authz/query-change.ts";

const HEADERS = ["a", "1", "b", "2", "a", "3"];
const changed = (name: string, action: HeaderAction) =>
  changeHeaders(HEADERS, [{ name, value: "x", action }], []);

test("each action changes a header that is there, and one that is not, as Envoy does", () => {
  assert.deepEqual(changed("a", "set"), ["b", "2", "a", "x"]);
  assert.deepEqual(changed("c", "set"), [...HEADERS, "c", "x"]);
  assert.deepEqual(changed("a", "append"), ["a", "1,x", "b", "2", "a", "3"]);
  assert.deepEqual(changed("c", "append"), HEADERS);
  assert.deepEqual(changed("a", "add"), [...HEADERS, "a", "x"]);
  assert.deepEqual(changed("a", "add-if-absent"), HEADERS);
  assert.deepEqual(changed("c", "add-if-absent"), [...HEADERS, "c", "x"]);
  assert.deepEqual(changed("a", "overwrite-if-exists"), ["b", "2", "a", "x"]);
  assert.deepEqual(changed("c", "overwrite-if-exists"), HEADERS);
});

test("removal takes every line of a name in any case; Host, pseudo and framing headers stay", () => {
  assert.deepEqual(changeHeaders(HEADERS, [], ["A"]), ["b", "2"]);
  const framed = ["host", "h", "content-length", "3", "transfer-encoding", "chunked", "connection", "close"];
  assert.deepEqual(changeHeaders(framed, [], [...framed, ":path"]), framed);
  for (const name of framed.filter((_text, at) => at % 2 === 0)) assert.ok(!isChangeable(name), name);
  for (const name of [":path", "", "a b", "a:"]) assert.ok(!isChangeable(name), name);
  assert.ok(isChangeable("x-user"));
  assert.equal(changeHeaders(HEADERS, [], []), HEADERS, "nothing to do costs nothing");
});

test("a difference names only what differs, and gives every value again", () => {
  const after = changeHeaders(HEADERS, [{ name: "a", value: "x", action: "add" }], []);
  const difference = headerDifference(HEADERS, after, ["a", "b"]);
  assert.deepEqual([...(difference?.remove ?? [])], ["a"]);
  assert.equal(difference?.add, "a: 1\r\na: 3\r\na: x\r\n");
  assert.equal(headerDifference(HEADERS, HEADERS, ["a", "b"]), undefined);
});

test("a header with an empty value is there: it is taken off, and set, like any other", () => {
  const off = headerDifference(["x-role", ""], [], ["x-role"]);
  assert.deepEqual([[...(off?.remove ?? [])], off?.add], [["x-role"], ""]);
  const set = headerDifference([], ["x-role", ""], ["x-role"]);
  assert.deepEqual([[...(set?.remove ?? [])], set?.add], [["x-role"], "x-role: \r\n"]);
  assert.equal(headerDifference(["x-role", ""], ["x-role", ""], ["x-role"]), undefined);
});

test("of two edits the later one wins over the earlier one's lines, and both over what came", () => {
  const lines = (...fields: string[]) => fieldLines(...fields) ?? assert.fail();
  const first = { remove: new Set(["x"]), add: lines("a", "own", "x-b", "own") };
  const { remove, add } = joinEdits(first, { remove: new Set(["a"]), add: lines("a", "later") });
  assert.deepEqual([...remove].sort(), ["a", "x"]);
  assert.equal(add, "x-b: own\r\na: later\r\n");
  assert.deepEqual(headersAfter(["a", "client", "x", "client", "y", "1"], { remove, add }), [
    ...["y", "1"],
    ...["x-b", "own", "a", "later"],
  ]);
});

test("query parameters are set in place or behind, once, and removed; the rest stays as it was written", () => {
  const cases: readonly (readonly [string, [string, string][], string[], string])[] = [
    ["/p", [["q", "1"]], [], "/p?q=1"],
    ["/p?a=%20&q=0&b&q=2", [["q", "1"]], [], "/p?a=%20&q=1&b"],
    ["/p?a&b=1&a=2", [], ["a"], "/p?b=1"],
    ["/p?a", [], ["a"], "/p"],
    ["/p?a=?&b", [["c", "x"]], ["b"], "/p?a=?&c=x"],
    ["/p?a", [], [], "/p?a"],
  ];
  for (const [target, set, remove, expected] of cases)
    assert.equal(changeQuery(target, set, remove), expected, target);
});
