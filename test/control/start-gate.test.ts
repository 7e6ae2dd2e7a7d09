import assert from "node:assert/strict";
import { test } from "node:test";
import { StartGate } from "../../src/control/start-gate.ts";

function gateOf(width: number, patienceMs = 60_000) {
  const started: string[] = [];
  const gate = new StartGate<{ name: string; version?: number }>({
    width,
    patienceMs,
    start: ({ name, version }) => started.push(version === undefined ? name : `${name}@${version}`),
  });
  return { gate, started };
}

test("so many start at once, the others in their order as those before them are ready", () => {
  const { gate, started } = gateOf(2);
  for (const name of ["a", "b", "c", "d"]) gate.enter({ name });
  assert.deepEqual(started, ["a", "b"]);
  gate.leave("b");
  assert.deepEqual(started, ["a", "b", "c"]);
  gate.leave("b");
  gate.leave("nobody");
  assert.deepEqual(started, ["a", "b", "c"], "leaving twice frees one place");
  gate.leave("a");
  assert.deepEqual(started, ["a", "b", "c", "d"]);
  gate.close();
});

test("one that never says that it is ready keeps the others out for a while only", async () => {
  const { gate, started } = gateOf(1, 20);
  gate.enter({ name: "hangs" });
  gate.enter({ name: "next" });
  assert.deepEqual(started, ["hangs"]);
  const deadline = performance.now() + 5000;
  while (started.length < 2 && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(started, ["hangs", "next"]);
  gate.close();
});

test("who waits can be told otherwise: a newer spec, not wanted any more, or nobody at all", () => {
  const { gate, started } = gateOf(1);
  for (const name of ["a", "b", "c", "d"]) gate.enter({ name, version: 1 });
  gate.enter({ name: "a", version: 2 });
  gate.enter({ name: "b", version: 2 });
  gate.keepOnly(new Set(["b", "d"]));
  gate.leave("a");
  gate.leave("b");
  assert.deepEqual(started, ["a@1", "a@2", "b@2", "d@1"]);
  gate.enter({ name: "e" });
  gate.close();
  gate.leave("d");
  assert.deepEqual(started.length, 4);
});
