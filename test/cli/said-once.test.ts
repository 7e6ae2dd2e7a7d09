import assert from "node:assert/strict";
import { test } from "node:test";
import { SaidOnce } from "../../src/cli/render/said-once.ts";

test("a line is said at once, held back for a while, and then says how often it came", () => {
  let nowMs = 0;
  const lines = new SaidOnce(1000, () => nowMs);
  assert.equal(lines.say("a"), "a");
  assert.equal(lines.say("b"), "b");
  assert.equal(lines.say("a"), undefined);
  nowMs = 999;
  assert.equal(lines.say("a"), undefined);
  nowMs = 1000;
  assert.equal(lines.say("a"), "a; 2 more since it was last told");
  assert.equal(lines.say("b"), "b");
  nowMs = 2000;
  assert.equal(lines.say("a"), "a");
});
