import assert from "node:assert/strict";
import { test } from "node:test";
import { Evidence } from "../../../src/analysis/tighten/evidence.ts";
import { leftOut } from "../../../src/analysis/tighten/flow-reading.ts";
import { DEFAULT_THRESHOLDS } from "../../../src/analysis/tighten/path-thresholds.ts";
import { PodsUnread } from "../../../src/analysis/tighten/pods-unread.ts";
import type { Policy } from "../../../src/analysis/tighten/policy-manifest.ts";
import { proposeAuthorization } from "../../../src/analysis/tighten/propose.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { authorization, meshOf, resource } from "../../policy/inbound-fixture.ts";
import { flow, pod } from "./tighten-fixture.ts";

const WHOLE = authorization("whole", { rules: [{}] }, { namespace: "foo" });
const OPTIONS = { semantics: "istio", thresholds: DEFAULT_THRESHOLDS, inactive: "keep" } as const;

async function leftAlone(
  resources: readonly Resource[],
  unknown: readonly (string | undefined)[],
  workload = "foo/httpbin",
) {
  const mesh = meshOf(pod("foo", "sleep"), ...resources);
  const evidence = new Evidence(mesh, {
    semantics: "istio",
    thresholds: DEFAULT_THRESHOLDS,
    unwantedStatuses: new Set(),
  });
  evidence.add(flow("/a", { workload }));
  for (const name of unknown) evidence.add(leftOut("unknown-workload", name));
  const { untouched, changes } = await proposeAuthorization(mesh, evidence, OPTIONS);
  const own = untouched.find(({ workloads }) => workloads.includes(workload));
  assert.equal(own === undefined, changes.length > 0);
  return own?.why;
}

test("a policy for a whole namespace keeps its rules while records are of pods there that no file shows", async () => {
  assert.match(
    (await leftAlone([WHOLE], ["foo/ghost"])) ?? "",
    /holds for foo\/ghost too: no file shows its pods/,
  );
  assert.match((await leftAlone([WHOLE], [undefined])) ?? "", /holds for a pod that a record is of too/);
  assert.equal(await leftAlone([WHOLE], ["elsewhere/ghost"]), undefined);
  assert.equal(await leftAlone([WHOLE], []), undefined);
  const root = authorization("root", { rules: [{}] }, { namespace: "istio-system" });
  assert.match((await leftAlone([root], ["elsewhere/ghost"])) ?? "", /holds for elsewhere\/ghost too/);
});

test("a policy for one workload is narrowed whatever other pods there are, but not where they have its labels", async () => {
  const own = authorization(
    "own",
    { selector: { matchLabels: { app: "httpbin" } }, rules: [{}] },
    { namespace: "foo" },
  );
  assert.equal(await leftAlone([own], ["foo/ghost"]), undefined);
  const maker = (app: string): Resource => ({
    ...resource("Workflow", "made", {}, { namespace: "foo" }),
    apiVersion: "example.org/v1",
    body: { spec: { template: { metadata: { labels: { app } }, spec: { containers: [{ name: "c" }] } } } },
  });
  assert.match((await leftAlone([own, maker("httpbin")], [])) ?? "", /Workflow foo\/made/);
  assert.equal(await leftAlone([own, maker("other")], []), undefined);
});

test("who is held by a policy is told by its namespace and selector", () => {
  const mesh = meshOf();
  const unread = new PodsUnread(mesh, ["foo/ghost"]);
  const held = (policy: Resource, isShared = false): string | undefined =>
    unread.heldBy(policy as unknown as Policy, isShared);
  assert.equal(held(WHOLE), "foo/ghost");
  assert.equal(
    held(authorization("a", { selector: { matchLabels: { app: "x" } } }, { namespace: "foo" })),
    undefined,
  );
  assert.equal(held(authorization("a", {}, { namespace: "bar" })), undefined);
  const some = authorization("a", { selector: { matchLabels: { tier: "x" } } }, { namespace: "foo" });
  assert.equal(held(some, true), "foo/ghost");
});

test("a policy that several workloads share stays while records are of pods that may be one of them", async () => {
  const tier = { tier: "backend" };
  const shared = authorization(
    "shared",
    { selector: { matchLabels: tier }, rules: [{}] },
    { namespace: "foo" },
  );
  const pods = ["cart", "till"].map((name) => pod("foo", name, { app: name, ...tier }));
  const left = (unknown: string) => leftAlone([...pods, shared], [unknown], "foo/cart");
  assert.match((await left("foo/ghost")) ?? "", /holds for foo\/ghost too/);
  assert.equal(await left("bar/ghost"), undefined);
});

test("of more unknown pods than are listed none is forgotten", async () => {
  const many = Array.from({ length: 1_000 }, (_, at) => `bar/ghost-${at}`);
  assert.notEqual(await leftAlone([WHOLE], [...many, "foo/ghost"]), undefined);
});
