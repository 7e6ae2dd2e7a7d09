import assert from "node:assert/strict";
import { test } from "node:test";
import { type Attempt, conclude, type Promised } from "../../src/attack/conclude.ts";
import { runAttacks } from "../../src/attack/run-attacks.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { fakeMesh } from "./vulnerable-mesh.ts";

const DENIAL: FlowRecord = {
  id: "shop/server@1:7",
  time: "2026-01-01T00:00:00.000000000Z",
  kind: "connection",
  reporter: "shop/server",
  verdict: "deny",
  layer: "authorization",
  reason: "no-allow-matched",
};
const step = { tried: "something", from: "here", target: "there" };
const refused: Promised = { allowed: false, words: "refused" };

function attempt(fields: Partial<Attempt>): Attempt {
  const local = { ip: "127.0.0.1", port: 40_000 };
  return { reached: false, happened: "closed", evidence: {}, local, startedAtMs: Date.now(), ...fields };
}

const passes = attempt({ reached: true });
const judge = (one: Attempt, control: Attempt = passes, promised: Promised = refused, records = [DENIAL]) =>
  conclude(fakeMesh(91, records), { attack: "x", step, promised, control, attempt: one });

test("conclude() calls what got through against the promise succeeded, even where its control fails", async () => {
  assert.equal((await judge(attempt({ reached: true }))).outcome, "succeeded");
  assert.equal((await judge(attempt({ reached: true }), attempt({}))).outcome, "succeeded");
});

test("conclude() calls what the configuration allows allowed by configuration, with finding and fix", async () => {
  const promised = { allowed: true, words: "allowed", finding: "too wide", fix: "narrow it" };
  const result = await judge(attempt({ reached: true }), passes, promised);
  assert.deepEqual(
    [result.outcome, result.finding, result.fix],
    ["allowed by configuration", "too wide", "narrow it"],
  );
});

test("conclude() calls a refusal stopped only beside a control that passes, with who refused and the record", async () => {
  const result = await judge(attempt({}));
  assert.deepEqual(
    [result.outcome, result.logged, result.evidence.flowRecord, result.stoppedBy],
    ["stopped", true, DENIAL.id, "shop/server refused (authorization: no-allow-matched)"],
  );
  assert.equal((await judge(attempt({}), attempt({}))).outcome, "not possible here");
});

test("conclude() never calls it stopped where nothing was there to refuse", async () => {
  const result = await judge(attempt({ nothingThere: "nothing listens" }));
  assert.equal(result.outcome, "not possible here");
  assert.match(result.happened, /nothing listens/);
});

test("conclude() says when a refusal is not in the flow log", async () => {
  const result = await judge(attempt({ logWithinMs: 50 }), passes, refused, []);
  assert.deepEqual([result.outcome, result.logged], ["stopped", false]);
});

test("runAttacks() refuses an unknown id and names those that there are", async () => {
  await assert.rejects(
    () => runAttacks(fakeMesh(91), { only: ["e99"] }),
    (error) =>
      error instanceof BulwarkError && error.code === "BW_CLI_INPUT" && /`e99`.*e1, e2/.test(error.message),
  );
});

test("runAttacks() makes a step that throws not possible, and goes on with the others", async () => {
  const attack = {
    id: "t",
    title: "",
    rows: [],
    needs: "",
    plan: () => [
      { ...step, run: () => Promise.reject(new Error("broken")) },
      { ...step, run: async () => [await judge(attempt({}))] },
    ],
  };
  const { results } = await runAttacks(fakeMesh(91), { attacks: [attack] });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["not possible here", "stopped"],
  );
});
