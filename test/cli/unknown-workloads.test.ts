import assert from "node:assert/strict";
import { test } from "node:test";
import { unknownWorkloads } from "../../src/cli/unknown-workloads.ts";

const KNOWN = new Set(["team-a/app-a", "finance/payroll"]);

test("a workload that the mesh lacks is named, with the one that was meant", () => {
  assert.deepEqual(unknownWorkloads({ from: ["team-a/ap-a"], to: ["nosuch/workload"] }, KNOWN), [
    "no workload `team-a/ap-a` runs in this mesh; did you mean `team-a/app-a`?",
    "no workload `nosuch/workload` runs in this mesh",
  ]);
});

test("workloads of the mesh, patterns, hosts, addresses and identities are not complained of", () => {
  const from = ["team-a/app-a", "team-*/app", "127.0.0.1", "cluster.local/ns/a/sa/b"];
  assert.deepEqual(unknownWorkloads({ from, to: ["payroll.finance", "finance/payroll"] }, KNOWN), []);
  assert.deepEqual(unknownWorkloads({}, KNOWN), []);
});
