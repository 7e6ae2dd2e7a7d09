/**
 * What `diff` and `verify` compute, asked of a running mesh: it goes through random pairs of meshes without a restart. A long run:
 * `DIFF_LIVE_PAIRS=100 BULWARK_SEED=7 node --test test/real/diff-live.test.ts`. Needs root: all happens in a private network.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runInPrivateNetwork } from "../../tools/corpus/private-network.ts";
import type { PairReport } from "./diff-live/pair-report.ts";

const SEED = Number(process.env.BULWARK_SEED ?? 20_261_122);
const PAIRS = Number(process.env.DIFF_LIVE_PAIRS ?? 6);
const WITNESSES = 40;

test("every witness of diff flips on the running mesh when the new files are saved, and those of verify are let through or refused as it says", async (t) => {
  const reports: PairReport[] = [];
  const worker = join(import.meta.dirname, "diff-live/worker.ts");
  await runInPrivateNetwork(worker, [String(SEED), String(PAIRS), String(WITNESSES)], (line) => {
    reports.push(JSON.parse(line) as PairReport);
  });
  const sum = (of: (report: PairReport) => number): number =>
    reports.reduce((total, own) => total + of(own), 0);
  const kinds = Map.groupBy(
    reports.flatMap((own) => own.kinds),
    (kind) => kind,
  );
  t.diagnostic(
    `seed ${SEED}: ${reports.length} pairs, ${sum((own) => own.changes)} changes, ${sum((own) => own.replayed)} witnesses sent before and after, ` +
      `${sum((own) => own.notSent)} not sent (of ports that no pod has, or IPv6), ${sum((own) => own.verified)} witnesses of verify; ` +
      [...kinds].map(([kind, list]) => `${kind}: ${list.length}`).join(", "),
  );
  assert.equal(reports.length, PAIRS);
  assert.deepEqual(
    reports.flatMap(({ wrong }) => wrong),
    [],
  );
  assert.equal(
    sum((own) => own.notAnalysed),
    0,
  );
  for (const kind of ["http mtls", "http mtls token", "http plaintext", "tcp mtls", "grpc mtls"])
    assert.ok(kinds.has(kind), `no witness was ${kind}: ${[...kinds.keys()].join(", ")}`);
  assert.ok(sum((own) => own.verified) > PAIRS, "witnesses of verify were sent");
});
