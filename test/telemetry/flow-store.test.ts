import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, test } from "node:test";
import fc from "fast-check";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import type { FlowFilter } from "../../src/telemetry/flow-filter.ts";
import { matchesFlow, matchesPattern } from "../../src/telemetry/flow-match.ts";
import { FlowStore, type FlowStoreOptions } from "../../src/telemetry/flow-store.ts";
import { FlowStoreError } from "../../src/telemetry/flow-store-error.ts";
import { BASE_MICROS, recordsArbitrary, sampleRecord } from "./flow-arbitrary.ts";

const folders: string[] = [];
const stores: FlowStore[] = [];
function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "bulwark-flow-store-"));
  folders.push(dir);
  return dir;
}
/** A store that keeps the sample's old times. */
function open(path: string, options: FlowStoreOptions = {}): FlowStore {
  const store = new FlowStore(path, { nowMs: () => BASE_MICROS / 1000, ...options });
  stores.push(store);
  return store;
}
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true });
});

const samples = (from: number, to: number): FlowRecord[] =>
  Array.from({ length: to - from }, (_, i) => sampleRecord(from + i));
const idsOf = (flows: readonly { readonly record: FlowRecord }[]): string[] =>
  flows.map(({ record }) => record.id);

test("FlowStore gives back what was stored, also after it was closed and opened", () => {
  const path = join(folder(), "flows.db");
  const records = samples(0, 100);
  assert.deepEqual(open(path).insert(records), { inserted: 100, duplicates: 0, conflicts: 0, rejected: 0 });
  stores.pop()?.close();
  const again = open(path);
  assert.deepEqual(
    again.query({}, { limit: 1000, order: "oldest" }).flows.map(({ record }) => record),
    records,
  );
  assert.equal(again.rows, 100);
});

test("FlowStore stores an id once, and tells a repetition from another record under the same id", () => {
  const store = open(":memory:");
  store.insert(samples(0, 10));
  assert.deepEqual(store.insert(samples(5, 15)), { inserted: 5, duplicates: 5, conflicts: 0, rejected: 0 });
  const forged = { ...sampleRecord(3), verdict: "allow" as const, path: "/forged" };
  assert.deepEqual(store.insert([forged]), { inserted: 0, duplicates: 0, conflicts: 1, rejected: 0 });
  assert.equal(store.query({ path: ["/forged"] }).flows.length, 0);
});

test("FlowStore takes the whole records of a batch of lines and counts the rest as rejected", () => {
  const store = open(":memory:");
  const good = JSON.stringify(sampleRecord(1));
  const deep = `${good.slice(0, -1)},"x":${"[".repeat(5000)}${"]".repeat(5000)}}`;
  const bad = [
    "",
    "{",
    "null",
    "[]",
    "7",
    '{"id":"x"}',
    deep,
    good.replace('"kind":"request"', '"kind":"other"'),
    good.replace('"status":200', '"status":"200"'),
    good.replace(/"time":"[^"]*"/, '"time":"yesterday"'),
    `${good.slice(0, -1)},"x":"${"y".repeat(70_000)}"}`,
  ];
  const result = store.insertLines(`${good}\n${bad.join("\n")}\n`);
  assert.deepEqual(result, { inserted: 1, duplicates: 0, conflicts: 0, rejected: bad.length - 1 });
  assert.equal(store.query({ layer: ["*"] }).flows.length, 0);
});

test("FlowStore lets an authenticated sender report only as itself and under its own ids", () => {
  const store = open(":memory:");
  const own = sampleRecord(0);
  const otherReporter = { ...sampleRecord(1), reporter: "team-a/app-a" };
  const otherIds = { ...sampleRecord(2), id: "finance/payroll-2@test:2" };
  const result = store.insert([own, otherReporter, otherIds], { reporter: "finance/payroll" });
  assert.deepEqual(result, { inserted: 1, duplicates: 0, conflicts: 0, rejected: 2 });
  assert.equal(store.insert([otherReporter, otherIds]).inserted, 2);
});

test("FlowStore pages through all records, in either order, each once", () => {
  const store = open(":memory:");
  // Equal times: the order of storing decides.
  store.insert(samples(0, 25).map((record, n) => ({ ...record, time: sampleRecord(n >> 2).time })));
  for (const order of ["newest", "oldest"] as const) {
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = store.query({}, { limit: 4, order, ...(after === undefined ? {} : { after }) });
      seen.push(...idsOf(page.flows));
      after = page.next;
    } while (after !== undefined);
    const expected = idsOf(samples(0, 25).map((record) => ({ record })));
    assert.deepEqual(seen, order === "oldest" ? expected : expected.reverse());
  }
  assert.throws(() => store.query({}, { after: "x' OR 1=1" }), TypeError);
});

test("FlowStore.follow() gives every new record once and skips what does not pass", () => {
  const store = open(":memory:");
  store.insert(samples(0, 5));
  let cursor = store.lastCursor();
  assert.deepEqual(store.follow(cursor).flows, []);
  store.insert(samples(5, 31));
  const first = store.follow(cursor, { verdict: ["deny"] }, 2);
  assert.deepEqual(idsOf(first.flows), ["finance/payroll@test:10", "finance/payroll@test:20"]);
  const second = store.follow(first.cursor, { verdict: ["deny"] }, 2);
  assert.deepEqual(idsOf(second.flows), ["finance/payroll@test:30"]);
  cursor = second.cursor;
  assert.deepEqual(store.follow(cursor, {}), { flows: [], cursor });
});

test("FlowStore.follow() begins a new log at its start when the cursor is of an older one", () => {
  const store = open(":memory:");
  store.insert(samples(0, 3));
  assert.equal(store.follow(1000).flows.length, 3);
});

test("FlowStore.count() groups, the most first", () => {
  const store = open(":memory:");
  store.insert(samples(0, 30));
  assert.deepEqual(store.count({}), [{ group: {}, count: 30 }]);
  assert.deepEqual(store.count({}, ["verdict", "status"]), [
    { group: { verdict: "allow", status: 200 }, count: 27 },
    { group: { verdict: "deny", status: 403 }, count: 3 },
  ]);
  assert.throws(() => store.count({}, ["body; DROP TABLE flows" as "kind"]), TypeError);
});

test("FlowStore removes the oldest rows beyond its bound, and what is too old", () => {
  let nowMs = BASE_MICROS / 1000;
  const store = open(":memory:", { maxRows: 100, maxAgeMs: 60_000, nowMs: () => nowMs });
  for (let n = 0; n < 1000; n += 10) store.insert(samples(n, n + 10));
  assert.ok(store.rows <= 100 && store.rows >= 90, `${store.rows}`);
  assert.equal(idsOf(store.query({}, { limit: 1 }).flows)[0], "finance/payroll@test:999");
  assert.equal(store.count({})[0]?.count, store.rows);
  nowMs += 120_000;
  store.insert([{ ...sampleRecord(5000), time: new Date(nowMs).toISOString() }]);
  assert.deepEqual(idsOf(store.query({}).flows), ["finance/payroll@test:5000"]);
});

test("FlowStore finds a trace and a peer's port over many buckets, by their indexes", () => {
  const path = join(folder(), "flows.db");
  const store = open(path);
  for (let n = 0; n < 20_000; n += 2000) store.insert(samples(n, n + 2000));
  const trace = (17).toString(16).padStart(32, "0");
  assert.deepEqual(idsOf(store.query({ trace: [trace] }).flows), ["finance/payroll@test:17"]);
  assert.equal(store.count({ peer: { ip: "127.1.0.1", port: 40_007 } })[0]?.count, 200);
  assert.equal(store.count({ peer: { ip: "127.1.0.2", port: 40_007 } })[0]?.count, 0);
});

const damaged: Readonly<Record<string, (path: string) => void>> = {
  "is no database": (path) => writeFileSync(path, "not a database, ".repeat(1000)),
  "is cut in half": (path) => {
    const store = new FlowStore(path);
    store.insert(samples(0, 5000).map((record) => ({ ...record, time: new Date().toISOString() })));
    store.close();
    truncateSync(path, 8192 * 20);
  },
  "has a schema of a later version": (path) => {
    const db = new DatabaseSync(path);
    db.exec("CREATE TABLE flows (x); PRAGMA user_version = 99");
    db.close();
  },
  "holds another program's table": (path) => {
    const db = new DatabaseSync(path);
    db.exec("CREATE TABLE flows (x)");
    db.close();
  },
};
for (const [what, damage] of Object.entries(damaged)) {
  test(`FlowStore moves a file aside that ${what}, says so, and begins anew`, () => {
    const dir = folder();
    const path = join(dir, "flows.db");
    damage(path);
    const messages: string[] = [];
    const store = open(path, { onMessage: (message) => messages.push(message) });
    assert.equal(store.insert(samples(0, 3)).inserted, 3);
    assert.equal(messages.length, 1);
    assert.match(messages[0] ?? "", /moved to .*flows\.db\.damaged-/);
    assert.ok(readdirSync(dir).some((name) => name.startsWith("flows.db.damaged-")));
  });
}

test("FlowStore that finds damage while it writes moves the file aside and stores the batch in a new one", () => {
  const path = join(folder(), "flows.db");
  const messages: string[] = [];
  const store = open(path, { onMessage: (message) => messages.push(message) });
  store.insert(samples(0, 3000));
  const db = new DatabaseSync(path);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
  truncateSync(path, 8192 * 3);
  let inserted = 0;
  for (let n = 10_000; messages.length === 0 && n < 30_000; n += 1000)
    inserted = store.insert(samples(n, n + 1000)).inserted;
  assert.match(messages[0] ?? "", /damaged/);
  assert.equal(inserted, 1000);
  assert.equal(store.rows, 1000);
});

test("FlowStore opened read-only neither makes, nor moves, nor writes", () => {
  const dir = folder();
  const path = join(dir, "flows.db");
  assert.throws(() => open(path, { readOnly: true }), FlowStoreError);
  writeFileSync(path, "not a database, ".repeat(1000));
  assert.throws(() => open(path, { readOnly: true }), { code: "BW_FLOWS_CORRUPT" });
  assert.deepEqual(readdirSync(dir), ["flows.db"]);
  rmSync(path);
  open(path).insert(samples(0, 2));
  const reader = open(path, { readOnly: true });
  assert.equal(reader.rows, 2);
  assert.throws(() => reader.insert(samples(2, 3)), { code: "BW_FLOWS_READ_ONLY" });
});

test("FlowStore at its size limit lets the oldest go for the newest", () => {
  const path = join(folder(), "flows.db");
  const store = open(path, { maxBytes: 2_000_000 });
  for (let n = 0; n < 10_000; n += 100) assert.equal(store.insert(samples(n, n + 100)).inserted, 100);
  assert.ok(statSync(path).size <= 2_000_000);
  assert.equal(store.count({})[0]?.count, store.rows);
  assert.equal(idsOf(store.query({}, { limit: 1 }).flows)[0], "finance/payroll@test:9999");
  assert.ok(store.rows < 5000);
});

test("FlowStore refuses a batch for which there is no room with BW_FLOWS_FULL, whole, and goes on", () => {
  const store = open(join(folder(), "flows.db"), { maxBytes: 600_000 });
  assert.throws(() => store.insert(samples(0, 5000)), { name: "FlowStoreError", code: "BW_FLOWS_FULL" });
  assert.equal(store.count({})[0]?.count, 0);
  assert.equal(store.insert(samples(0, 100)).inserted, 100);
});

test("FlowStore on a full disk refuses with BW_FLOWS_FULL, and stores again once there is room", (t) => {
  const mount = join(folder(), "tiny");
  mkdirSync(mount);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "none", mount]).status !== 0) {
    t.skip("mounting a tmpfs needs root; the size limit above covers the same code");
    return;
  }
  try {
    const ballast = join(mount, "ballast");
    writeFileSync(ballast, Buffer.alloc(1_500_000));
    const store = open(join(mount, "flows.db"));
    const stored = fillUntilRefused(store);
    assert.equal(store.count({})[0]?.count, stored);
    assert.equal(store.count({ path: ["/accounts/0"] })[0]?.count, 1);
    rmSync(ballast);
    assert.equal(store.insert(samples(900_000, 900_100)).inserted, 100);
    store.close();
  } finally {
    spawnSync("umount", [mount]);
  }
});

function fillUntilRefused(store: FlowStore): number {
  for (let n = 0; n < 100_000; n += 100) {
    try {
      store.insert(samples(n, n + 100));
    } catch (error) {
      assert.ok(error instanceof FlowStoreError);
      assert.equal(error.code, "BW_FLOWS_FULL");
      return n;
    }
  }
  return assert.fail("never full");
}

const pattern = fc.string({
  unit: fc.constantFrom("a", "b", "/", "*", "?", "[", "]", "é"),
  minLength: 1,
  maxLength: 5,
});
const filterArbitrary: fc.Arbitrary<FlowFilter> = fc.record(
  {
    from: fc.array(fc.constantFrom("team-a/*", "team-a/app-a", "*", "*/app-a"), {
      minLength: 1,
      maxLength: 2,
    }),
    to: fc.array(fc.constantFrom("finance/payroll", "payroll.finance", "*.com", "*", "team-?/*", "fin*"), {
      minLength: 1,
      maxLength: 2,
    }),
    verdict: fc.uniqueArray(fc.constantFrom("allow", "deny", "error"), { minLength: 1 }),
    kind: fc.uniqueArray(fc.constantFrom("request", "connection", "handshake"), { minLength: 1 }),
    sni: fc.array(fc.constantFrom("*.ibm.com", "www.ibm.com", "mongo1.*"), { minLength: 1, maxLength: 2 }),
    policy: fc.array(fc.constantFrom("finance/auditor", "PeerAuthentication *", "finance/*"), {
      minLength: 1,
      maxLength: 2,
    }),
    path: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    trace: fc.constant(["0af7651916cd43dd8448eb211c80319c"]),
    status: fc.constantFrom([200], [403, 503]),
    peer: fc.constantFrom({ ip: "::1" }, { ip: "127.1.0.1", port: 40_000 }),
    sinceMicros: fc.integer({ min: 0, max: 5_000_000 }).map((offset) => BASE_MICROS + offset),
    untilMicros: fc.integer({ min: 0, max: 5_000_000 }).map((offset) => BASE_MICROS + offset),
  },
  { requiredKeys: [] },
);

test("FlowStore.query() selects what matchesFlow() matches, for any filter and records", () => {
  fc.assert(
    fc.property(recordsArbitrary, filterArbitrary, (records, filter) => {
      const store = new FlowStore(":memory:", { nowMs: () => BASE_MICROS / 1000 });
      store.insert(records);
      const found = idsOf(store.query(filter, { limit: 1000 }).flows);
      const expected = records.filter((record) => matchesFlow(filter, record)).map((record) => record.id);
      assert.deepEqual(new Set(found), new Set(expected));
      assert.equal(store.count(filter)[0]?.count, expected.length);
      store.close();
    }),
    { numRuns: 150 },
  );
});

test("matchesPattern() agrees with a regular expression", () => {
  fc.assert(
    fc.property(
      pattern,
      fc.string({ unit: fc.constantFrom("a", "b", "/", "*"), maxLength: 8 }),
      (glob, text) => {
        const regex = new RegExp(`^${glob.split("*").map(RegExp.escape).join(".*")}$`, "su");
        assert.equal(matchesPattern(glob, text), regex.test(text));
      },
    ),
    { numRuns: 500 },
  );
});
