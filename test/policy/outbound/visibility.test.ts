/** exportTo: https://istio.io/latest/docs/reference/config/networking/virtual-service/#VirtualService */
import assert from "node:assert/strict";
import { test } from "node:test";
import { l4Concerns } from "../../../src/policy/outbound/l4-match.ts";
import type { L4Match } from "../../../src/policy/outbound/resource-shapes.ts";
import { effectiveExportTo, isVisible } from "../../../src/policy/outbound/visibility.ts";

test("effectiveExportTo(): the resource's, else the mesh's, else all", () => {
  assert.deepEqual(effectiveExportTo(["a"], ["."]), ["a"]);
  assert.deepEqual(effectiveExportTo([], ["."]), ["."]);
  assert.deepEqual(effectiveExportTo(undefined, ["."]), ["."]);
  assert.deepEqual(effectiveExportTo(undefined, []), ["*"]);
  assert.deepEqual(effectiveExportTo([], []), ["*"]);
});

test("isVisible(): `*` to all, `~` to none, `.` to its own, a name to that namespace", () => {
  const seenBy = (exportTo: readonly string[]): readonly string[] =>
    ["owner", "a", "b"].filter((client) => isVisible(exportTo, "owner", client));
  const CASES: readonly [exportTo: readonly string[], seenBy: readonly string[]][] = [
    [["*"], ["owner", "a", "b"]],
    [["."], ["owner"]],
    [["a"], ["a"]],
    [
      ["a", "."],
      ["owner", "a"],
    ],
    [["owner"], ["owner"]],
    [["~"], []],
    [["~", "a", "."], []],
    [
      ["~", "*"],
      ["owner", "a", "b"],
    ],
    [
      ["a", "*"],
      ["owner", "a", "b"],
    ],
    [[], []],
  ];
  for (const [exportTo, expected] of CASES) assert.deepEqual(seenBy(exportTo), expected, String(exportTo));
});

test("l4Concerns(): gateway, port, namespace and labels, each unless nothing is said of it", () => {
  const client = { namespace: "foo", labels: { app: "web", tier: "a" }, gateway: "mesh", listenPort: 80 };
  const CASES: readonly [L4Match, boolean][] = [
    [{}, true],
    [{ gateways: [] }, true],
    [{ gateways: ["mesh"] }, true],
    [{ gateways: ["foo/gw", "mesh"] }, true],
    [{ gateways: ["foo/gw"] }, false],
    [{ port: 80 }, true],
    [{ port: 0 }, true],
    [{ port: 81 }, false],
    [{ sourceNamespace: "foo" }, true],
    [{ sourceNamespace: "" }, true],
    [{ sourceNamespace: "bar" }, false],
    [{ sourceLabels: { app: "web" } }, true],
    [{ sourceLabels: {} }, true],
    [{ sourceLabels: { app: "other" } }, false],
    [{ sourceLabels: { app: "web", zone: "b" } }, false],
    // Unlike HTTP's, conditions on the source hold beside those on gateways.
    [{ gateways: ["mesh"], sourceNamespace: "bar" }, false],
    [{ gateways: ["mesh"], port: 80, sourceNamespace: "foo", sourceLabels: { app: "web" } }, true],
  ];
  for (const [match, expected] of CASES)
    assert.equal(l4Concerns(match, client), expected, JSON.stringify(match));
});
