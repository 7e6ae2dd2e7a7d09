/** Headers that routes change: https://istio.io/latest/docs/reference/config/networking/virtual-service/#Headers */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileHeaders, joinHeaderOps, NO_HEADER_OPS } from "../../../src/policy/outbound/header-ops.ts";

const NONE = { remove: [], set: [], add: [] };

describe("compileHeaders()", () => {
  test("nothing changes nothing", () => {
    assert.deepEqual(NO_HEADER_OPS, NONE);
    assert.ok(Object.isFrozen(NO_HEADER_OPS));
    assert.deepEqual(compileHeaders(undefined), { request: NONE, response: NONE });
    assert.deepEqual(compileHeaders({}), { request: NONE, response: NONE });
    assert.deepEqual(compileHeaders({ request: {}, response: {} }), { request: NONE, response: NONE });
  });

  test("names are in lower case, those of maps in the order that they are written with", () => {
    assert.deepEqual(
      compileHeaders({
        request: { set: { b: "1", A: "2", a: "3" }, add: { d: "4", C: "5" }, remove: ["X-B", "X-A"] },
        response: { set: { f: "6" }, add: { g: "7" }, remove: ["H"] },
      }),
      {
        request: {
          remove: ["x-b", "x-a"],
          set: [
            ["a", "2"],
            ["a", "3"],
            ["b", "1"],
          ],
          add: [
            ["c", "5"],
            ["d", "4"],
          ],
        },
        response: { remove: ["h"], set: [["f", "6"]], add: [["g", "7"]] },
      },
    );
  });

  test("Host and pseudo headers are no headers: neither removed nor set as such", () => {
    assert.deepEqual(
      compileHeaders({
        request: { remove: ["Host", ":path", "hosts"], set: { ":method": "GET", "x-host": "1" } },
        response: { set: { Host: "h", ":status": "200" } },
      }),
      { request: { remove: ["hosts"], set: [["x-host", "1"]], add: [] }, response: NONE },
    );
  });

  const AUTHORITIES: readonly [
    set: Record<string, string> | undefined,
    add: Record<string, string> | undefined,
    authority: string | undefined,
  ][] = [
    [{ Host: "set" }, undefined, "set"],
    [{ ":Authority": "set" }, undefined, "set"],
    [undefined, { host: "add" }, "add"],
    [{ host: "set" }, { host: "add" }, "set"],
    [{ host: "" }, { host: "add" }, "add"],
    [{ host: "first", ":authority": "" }, undefined, "first"],
    [{ host: "first", ":authority": "second" }, undefined, "second"],
    [{ "x-host": "other" }, { hosts: "other" }, undefined],
    [{ host: "" }, { ":authority": "" }, undefined],
  ];
  for (const [set, add, authority] of AUTHORITIES)
    test(`set ${JSON.stringify(set)}, add ${JSON.stringify(add)} rewrite the Host to ${authority}`, () => {
      const request = { ...(set === undefined ? {} : { set }), ...(add === undefined ? {} : { add }) };
      assert.deepEqual(compileHeaders({ request, response: { set: { host: "answer" } } }), {
        request: {
          remove: [],
          set: set?.["x-host"] === undefined ? [] : [["x-host", "other"]],
          add: add?.hosts === undefined ? [] : [["hosts", "other"]],
        },
        response: NONE,
        ...(authority === undefined ? {} : { authority }),
      });
    });
});

test("joinHeaderOps(): what the destination sets replaces what the route adds, and only that", () => {
  const route = {
    remove: ["r1"],
    set: [["s1", "route"]],
    add: [
      ["a1", "route"],
      ["s2", "route"],
    ],
  } as const;
  const destination = { remove: ["r2"], set: [["s2", "own"]], add: [["a1", "own"]] } as const;
  assert.deepEqual(joinHeaderOps(route, destination), {
    remove: ["r1", "r2"],
    set: [
      ["s1", "route"],
      ["s2", "own"],
    ],
    add: [
      ["a1", "route"],
      ["a1", "own"],
    ],
  });
  assert.deepEqual(joinHeaderOps(route, NO_HEADER_OPS), route);
  assert.deepEqual(joinHeaderOps(NO_HEADER_OPS, destination), destination);
});
