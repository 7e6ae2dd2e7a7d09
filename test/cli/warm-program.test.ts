import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { bulwark, startedAnew } from "./run-bulwark.ts";

const COMMANDS: readonly (readonly string[])[] = [
  ["can", "team-a/app-a", "https://www.example.org", "--mesh", "examples/egress"],
  ["map", "examples/map"],
  ["diff", "examples/diff/before", "examples/diff/after", "--fail-on", "widened"],
  ["verify", "examples/verify"],
  ["audit", "examples/audit", "--format", "json"],
  ["explain", "BW0042"],
  ["blast", "examples/compromise", "--compromise", "workload/shop/web"],
  ["tighten", "examples/tighten/mesh.yaml", "--flows", "examples/tighten/flows.jsonl"],
  ["firewall", "export", "examples/egress", "--format", "networkpolicy"],
];

for (const args of COMMANDS)
  test(`bulwark ${args.join(" ")}: a process that answered before says what one of its own says`, async () => {
    await bulwark(args);
    assert.deepEqual(await bulwark(args), await startedAnew(args));
  });

test("what one command was given is not there for the next", async () => {
  const elsewhere = await bulwark(["map", "map", "--format", "csv"], {}, resolve("examples"));
  assert.equal(elsewhere.code, 0, elsewhere.stderr);
  const relative = await bulwark(["map", "examples/map", "--format", "csv"]);
  assert.deepEqual(relative, elsewhere);
});
