import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS } from "../../src/identity/key-algorithm.ts";
import { Turns } from "../../src/identity/turns.ts";
import { AUDITOR, testCa } from "./mesh-fixture.ts";

/** Turns whose event loop is driven by hand. */
function handDriven(perTurn: number, maxWaiting = 1000) {
  const later: (() => void)[] = [];
  const turns = new Turns({ perTurn, maxWaiting, later: (callback) => void later.push(callback) });
  const settle = () => new Promise(setImmediate);
  const nextTurn = async () => {
    for (const callback of later.splice(0)) callback();
    await settle();
  };
  return { turns, settle, nextTurn, scheduled: () => later.length };
}

test("Turns lets so many run in one turn of the event loop and no more, in the order in which they asked", async () => {
  const { turns, settle, nextTurn, scheduled } = handDriven(3);
  const ran: number[] = [];
  for (let i = 0; i < 8; i++) void turns.take().then(() => ran.push(i));
  await settle();
  assert.deepEqual(ran, [0, 1, 2]);
  await nextTurn();
  assert.deepEqual(ran, [0, 1, 2, 3, 4, 5]);
  await nextTurn();
  assert.deepEqual(ran, [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(turns.waiting, 0);
  await nextTurn();
  assert.equal(scheduled(), 0, "nothing is scheduled once nobody asks");
});

test("Turns gives who comes later no turn before those who wait", async () => {
  const { turns, settle, nextTurn } = handDriven(1);
  const ran: string[] = [];
  for (const name of ["a", "b"]) void turns.take().then(() => ran.push(name));
  await nextTurn();
  void turns.take().then(() => ran.push("late"));
  await settle();
  assert.deepEqual(ran, ["a", "b"]);
  await nextTurn();
  assert.deepEqual(ran, ["a", "b", "late"]);
});

test("Turns refuses beyond the longest line instead of growing", async () => {
  const { turns, nextTurn } = handDriven(1, 2);
  const first = [turns.take(), turns.take(), turns.take()];
  await assert.rejects(turns.take(), { code: "BW_CA_BUSY" });
  for (let i = 0; i < 3; i++) await nextTurn();
  await Promise.all(first);
  const after = turns.take();
  await nextTurn();
  await after;
});

test("issue() gives other work of the process a turn between any few certificates of a burst", async (t) => {
  let drawn = 0;
  let mostInOneTurn = 0;
  let inThisTurn = 0;
  const ca = await testCa(t, {
    random: (bytes) => {
      drawn++;
      inThisTurn++;
      mostInOneTurn = Math.max(mostInOneTurn, inThisTurn);
      return Buffer.from(drawn.toString(16).padStart(bytes * 2, "0"), "hex");
    },
  });
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const csr = encodeCsr(privateKey);
  const burst = Promise.all(
    Array.from({ length: 400 }, () => ca.issue({ csr, verifiedIdentity: AUDITOR, ttlSeconds: 0 })),
  );
  let turns = 0;
  let over = false;
  const end = () => {
    over = true;
  };
  void burst.then(end, end);
  while (!over) {
    await new Promise(setImmediate);
    turns++;
    inThisTurn = 0;
  }
  const issued = await burst;
  assert.equal(new Set(issued.map(({ serial }) => serial)).size, 400);
  assert.ok(mostInOneTurn <= 8, `${mostInOneTurn} certificates without a turn for others`);
  assert.ok(turns >= 400 / 8, `${turns} turns`);
});
