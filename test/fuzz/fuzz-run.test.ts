import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as later } from "node:timers/promises";
import { fuzz } from "../../tools/fuzz/fuzz-run.ts";
import { minimise } from "../../tools/fuzz/minimise.ts";
import { mutant } from "../../tools/fuzz/mutate.ts";
import { Random } from "../../tools/fuzz/random.ts";
import { law, type OpenTarget } from "../../tools/fuzz/target.ts";

function target(check: OpenTarget["check"]): OpenTarget {
  const seeds = [Buffer.from("one two three"), Buffer.from("12 monkeys\nand more")];
  return { seeds, words: ["needle", " "].map((word) => Buffer.from(word)), maxInputBytes: 400, check };
}

const OPTIONS = { seed: 1, maxInputs: 3000, maxMs: 60_000 };

test("a broken law is found, made small, and reported once", async () => {
  const planted = target((input) => {
    law(!/needle.*needle/s.test(input.toString("latin1")), "no two needles");
    return "fine";
  });
  const { findings } = await fuzz(planted, OPTIONS);
  assert.deepEqual(
    findings.map((finding) => [finding.law, finding.input.toString()]),
    [["no two needles", "needleneedle"]],
  );
});

test("an exception that no law names is a finding, and so is a rejected promise", async () => {
  const throwing = target((input) => JSON.parse(input.toString("latin1").includes("w") ? '"fine"' : "{"));
  const [thrown] = (await fuzz(throwing, OPTIONS)).findings;
  assert.match(thrown?.law ?? "", /^no exception \(SyntaxError/);
  const rejecting = target(async () => {
    await later(0);
    throw new RangeError("planted");
  });
  const [rejected] = (await fuzz(rejecting, { ...OPTIONS, maxInputs: 3 })).findings;
  assert.match(rejected?.law ?? "", /^no exception \(RangeError/);
  assert.equal(rejected?.input.length, 0);
});

test("an input that takes more than a second of processor time is a finding", async () => {
  let left = 1;
  const slow = target(() => {
    const end = process.threadCpuUsage().user + 1_100_000;
    if (left-- > 0) while (process.threadCpuUsage().user < end);
    return "slow";
  });
  const { findings, slowestMs } = await fuzz(slow, { ...OPTIONS, maxInputs: 5 });
  assert.deepEqual(
    findings.map((finding) => finding.law),
    ["no input takes long"],
  );
  assert.ok(slowestMs > 1000);
});

test("a sound target has no findings; the same seed makes the same inputs, another one others", async () => {
  const inputsOf = async (seed: number): Promise<string> => {
    const seen: string[] = [];
    const { findings, inputs } = await fuzz(
      target(() => "fine"),
      { ...OPTIONS, seed, maxInputs: 300, onInput: (input) => seen.push(input.toString("latin1")) },
    );
    assert.equal(findings.length, 0);
    assert.equal(inputs, 300);
    return JSON.stringify(seen);
  };
  const first = await inputsOf(1);
  assert.equal(await inputsOf(1), first);
  assert.notEqual(await inputsOf(2), first);
});

test("inputs with an outcome that was not seen before are mutated on", async () => {
  // Each step is one in some hundreds; all four at once would be one in some ten thousand millions.
  const stepwise = target((input) => {
    const text = input.toString("latin1");
    let steps = 0;
    while (steps < 4 && text.includes("needle".repeat(steps + 1))) steps++;
    return `step ${steps}`;
  });
  const { outcomes } = await fuzz(stepwise, { ...OPTIONS, maxInputs: 20_000 });
  assert.ok(outcomes.has("step 4"), [...outcomes.keys()].join());
});

test("mutants keep to their size", () => {
  const random = new Random(5);
  const material = { ...target(() => ""), corpus: [Buffer.alloc(300, 0x61), Buffer.alloc(0)] };
  for (let n = 0; n < 5000; n++) assert.ok(mutant(random, material).length <= 60 * 6 + 400);
});

test("minimise() takes away all that is not needed, makes the rest plain, and never returns what does not fail", async () => {
  const fails = async (input: Buffer): Promise<boolean> => input.includes(0x78) && input.length >= 2;
  const least = await minimise(Buffer.from("bcdefgxijklm"), fails);
  assert.ok(["ax", "xa"].includes(least.toString()), least.toString());
});
