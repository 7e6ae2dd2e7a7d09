import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { CaStore } from "../../../src/identity/store/ca-store.ts";
import { allIssued } from "./ca-store-conformance.ts";

export interface KillRounds {
  /** As openCaStore takes it. */
  readonly address: string;
  readonly open: () => Promise<CaStore>;
  readonly rounds?: number;
}

/** Kills a process that changes the store, again and again, each time a little later; after each nothing that it was told may be missing. */
export async function killRounds({ address, open, rounds = 5 }: KillRounds): Promise<void> {
  let last = 0;
  for (let round = 0; round < rounds; round++) {
    const prefix = `${round.toString(16)}a`;
    const told = await toldUntilKilled(address, prefix, round);
    const store = await open();
    try {
      last = await assertAllThere(store, prefix, told, last);
    } finally {
      await store.close();
    }
  }
  assert.ok(last > 0, "something was revoked");
}

async function toldUntilKilled(address: string, prefix: string, round: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "issuing-child.ts"), address, prefix], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    // Right after the first word, then later and later; never at the same point of a transaction.
    if (output.length > round * 150) setTimeout(() => child.kill("SIGKILL"), round % 4);
  });
  const [code, signal] = await exited;
  assert.equal(signal, "SIGKILL", `the child ended by itself (${code})`);
  const lines = output.split("\n");
  // A line that the kill cut off was not told.
  lines.pop();
  return lines;
}

async function assertAllThere(
  store: CaStore,
  prefix: string,
  told: readonly string[],
  lastSequence: number,
): Promise<number> {
  const issued = new Set((await allIssued(store)).map(({ serial }) => serial));
  const revocations = await store.revocationsSince(0);
  const revoked = new Map(revocations.map(({ serial, sequence }) => [serial, sequence]));
  const audited = new Set((await store.audited(100_000)).map(({ serial }) => serial));
  for (const line of told) {
    const [what, serial = "", detail] = line.split(" ");
    if (what === "issued") assert.ok(issued.has(serial), line);
    if (what === "revoked") assert.equal(String(revoked.get(serial)), detail, line);
    if (what === "audited") assert.ok(audited.has(serial), line);
    if (what === "set") assert.ok((await store.read(`count-${prefix}`)).version >= Number(serial), line);
  }
  assert.deepEqual(
    revocations.map(({ sequence }) => sequence),
    revocations.map((_, i) => i + 1),
    "no gap in the order",
  );
  assert.ok(revocations.length >= lastSequence);
  return revocations.length;
}
