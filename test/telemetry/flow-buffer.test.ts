import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import fc from "fast-check";
import { FlowBatches } from "../../src/telemetry/flow-batch.ts";
import { FlowBuffer, type FlowBufferOptions, type FlowDegradation } from "../../src/telemetry/flow-buffer.ts";
import type { FlowLines } from "../../src/telemetry/flow-spill.ts";
import { FlowStore } from "../../src/telemetry/flow-store.ts";
import { BASE_MICROS, sampleDraft } from "./flow-arbitrary.ts";

const folders: string[] = [];
function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "bulwark-flow-buffer-"));
  folders.push(dir);
  return dir;
}
afterEach(() => {
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true });
});

const QUICK = {
  reporter: "finance/payroll",
  flushIntervalMs: 2,
  retryMinMs: 1,
  retryMaxMs: 2,
  sendTimeoutMs: 1000,
};

function makeBuffer(options: Partial<FlowBufferOptions> & Pick<FlowBufferOptions, "send">): FlowBuffer {
  return new FlowBuffer({ ...QUICK, spillDir: folder(), ...options });
}

function paths(text: string): string[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { path: string }).path);
}

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `/accounts/${from + i}`);

test("FlowBuffer hands records on in their order, by themselves after the flush interval", async () => {
  const { promise, resolve } = Promise.withResolvers<FlowLines>();
  const buffer = makeBuffer({ send: async (lines) => resolve(lines) });
  for (let n = 0; n < 5; n++) buffer.push(sampleDraft(n));
  const lines = await promise;
  assert.deepEqual(paths(lines.text), numbered(0, 5));
  assert.equal(lines.count, 5);
  assert.equal(await buffer.close(1000), true);
});

test("FlowBuffer numbers records under an instance that names the reporter and is new with each start", async () => {
  const ids: string[] = [];
  const send = async ({ text }: FlowLines): Promise<void> => {
    for (const line of text.trimEnd().split("\n")) ids.push((JSON.parse(line) as { id: string }).id);
  };
  const first = makeBuffer({ send });
  const second = makeBuffer({ send });
  for (const buffer of [first, second]) {
    buffer.push(sampleDraft(0));
    buffer.push(sampleDraft(1));
    await buffer.close(1000);
  }
  assert.deepEqual(ids, [
    `${first.instance}:0`,
    `${first.instance}:1`,
    `${second.instance}:0`,
    `${second.instance}:1`,
  ]);
  assert.notEqual(first.instance, second.instance);
  assert.match(first.instance, /^finance\/payroll@[0-9a-f]{16}$/);
});

test("FlowBuffer keeps records on disk while the sink is down, says so once, and sends them in order when it is back", async () => {
  let down = true;
  const got: string[] = [];
  const events: FlowDegradation[] = [];
  const spillDir = folder();
  const buffer = makeBuffer({
    spillDir,
    batchRecords: 10,
    spillSegmentBytes: 4096,
    onDegraded: (event) => events.push(event),
    send: async ({ text }) => {
      if (down) throw new Error("log process is gone");
      got.push(...paths(text));
    },
  });
  for (let n = 0; n < 500; n++) buffer.push(sampleDraft(n));
  assert.equal(await buffer.flush(20), false);
  assert.ok(readdirSync(spillDir).length > 1, "several segments");
  assert.equal(buffer.stats.inMemory, 0);
  down = false;
  for (let n = 500; n < 600; n++) buffer.push(sampleDraft(n));
  assert.equal(await buffer.flush(2000), true);
  assert.deepEqual([...new Set(got)], numbered(0, 600));
  assert.deepEqual(
    events.map((event) => event.state),
    ["sink-down", "recovered"],
  );
  assert.match(events[0]?.message ?? "", /log process is gone/);
  assert.deepEqual(readdirSync(spillDir), []);
  await buffer.close(100);
});

test("FlowBuffer leaves on disk at close what could not be sent, and the next start sends it first", async () => {
  const spillDir = folder();
  const down = makeBuffer({ spillDir, send: () => Promise.reject(new Error("down")) });
  for (let n = 0; n < 50; n++) down.push(sampleDraft(n));
  assert.equal(await down.close(10), false);
  const got: string[] = [];
  const up = makeBuffer({ spillDir, send: async ({ text }) => void got.push(...paths(text)) });
  up.push(sampleDraft(50));
  assert.equal(await up.close(2000), true);
  assert.deepEqual(got, numbered(0, 51));
});

test("FlowBuffer treats silence as failure and sends the same ids again", async () => {
  const batches: string[] = [];
  const buffer = makeBuffer({
    sendTimeoutMs: 10,
    send: ({ text }) => {
      batches.push(text);
      return batches.length === 1 ? new Promise(() => undefined) : Promise.resolve();
    },
  });
  buffer.push(sampleDraft(0));
  assert.equal(await buffer.flush(2000), true);
  assert.equal(batches.length, 2);
  assert.equal(batches[0], batches[1]);
  await buffer.close(100);
});

test("FlowBuffer leaves a torn last line out, says so, and sends what is whole", async () => {
  const spillDir = folder();
  const down = makeBuffer({ spillDir, send: () => Promise.reject(new Error("down")) });
  for (let n = 0; n < 3; n++) down.push(sampleDraft(n));
  await down.close(10);
  const segment = join(spillDir, readdirSync(spillDir)[0] ?? "");
  writeFileSync(segment, readFileSync(segment).subarray(0, -20));
  const events: FlowDegradation[] = [];
  const got: string[] = [];
  const up = makeBuffer({
    spillDir,
    onDegraded: (event) => events.push(event),
    send: async ({ text }) => void got.push(...paths(text)),
  });
  assert.equal(await up.close(2000), true);
  assert.deepEqual(got, numbered(0, 2));
  assert.deepEqual(
    events.map((event) => event.state),
    ["torn"],
  );
});

test("FlowBuffer keeps what memory holds when the disk refuses, drops the newest beyond the bound, counts and says it", async () => {
  let down = true;
  const got: string[] = [];
  const events: FlowDegradation[] = [];
  const buffer = makeBuffer({
    // A file in the folder's place: every append fails, as on a full disk.
    spillDir: join(writtenFile(), "spill"),
    batchRecords: 10,
    maxMemoryLength: 50_000,
    onDegraded: (event) => events.push(event),
    send: async ({ text }) => {
      if (down) throw new Error("down");
      got.push(...paths(text));
    },
  });
  for (let n = 0; n < 1000; n++) buffer.push(sampleDraft(n));
  await buffer.flush(10);
  const { dropped, inMemory } = buffer.stats;
  assert.ok(dropped > 0 && inMemory > 0);
  assert.equal(dropped + inMemory, 1000);
  assert.ok(events.some((event) => event.state === "dropping" && event.dropped > 0));
  down = false;
  assert.equal(await buffer.flush(2000), true);
  assert.equal(got.length, 1000 - dropped);
  assert.deepEqual(got.slice(0, 20), numbered(0, 20));
  assert.equal(events.at(-1)?.state, "recovered");
  await buffer.close(100);
});

function writtenFile(): string {
  const file = join(folder(), "file");
  writeFileSync(file, "");
  return file;
}

test("FlowBuffer respects the bound of its spill folder", async () => {
  const buffer = makeBuffer({
    batchRecords: 10,
    maxSpillBytes: 20_000,
    maxMemoryLength: 20_000,
    send: () => Promise.reject(new Error("down")),
  });
  for (let n = 0; n < 1000; n++) buffer.push(sampleDraft(n));
  await buffer.flush(10);
  assert.ok(buffer.stats.spillBytes <= 20_000);
  assert.ok(buffer.stats.dropped > 0);
  await buffer.close(1);
});

test("FlowBuffer cuts a record that is longer than the log takes, whatever its texts escape to", async () => {
  const got: FlowLines[] = [];
  const buffer = makeBuffer({ send: async (lines) => void got.push(lines) });
  buffer.push({
    ...sampleDraft(0),
    path: "\0".repeat(70_000),
    explanation: Array(5000).fill("\0".repeat(100)),
  });
  await buffer.close(1000);
  using store = disposable(keepingStore());
  assert.equal(store.value.insertLines(got[0]?.text ?? "").inserted, 1);
  assert.equal(store.value.query({}).flows[0]?.record.truncated, true);
});

test("FlowBuffer survives a record that is no JSON: it is dropped, the others go on", async () => {
  const got: string[] = [];
  const buffer = makeBuffer({ send: async ({ text }) => void got.push(...paths(text)) });
  buffer.push(sampleDraft(0));
  buffer.push({ ...sampleDraft(1), status: 1n as unknown as number });
  buffer.push(sampleDraft(2));
  assert.equal(await buffer.close(1000), true);
  assert.deepEqual(got, ["/accounts/0", "/accounts/2"]);
  assert.equal(buffer.stats.dropped, 1);
});

/** The sample's times are old. */
const keepingStore = (): FlowStore => new FlowStore(":memory:", { nowMs: () => BASE_MICROS / 1000 });

function disposable(value: FlowStore): { value: FlowStore; [Symbol.dispose](): void } {
  return { value, [Symbol.dispose]: () => value.close() };
}

/** What one call of `send` does: stored and acknowledged; refused; stored but the answer lost; never answered, stored or not. */
type SendFate = "ok" | "refused" | "ack-lost" | "hang" | "hang-stored";
type Step =
  | { readonly do: "push"; readonly count: number }
  | { readonly do: "wait" }
  | { readonly do: "restart"; readonly closeMs: number };

const fate = fc.constantFrom<SendFate>("ok", "refused", "ack-lost", "hang", "hang-stored");
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("push" as const), count: fc.integer({ min: 1, max: 30 }) }),
  },
  { weight: 2, arbitrary: fc.constant<Step>({ do: "wait" }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("restart" as const), closeMs: fc.integer({ min: 0, max: 4 }) }),
  },
);

test("FlowBuffer and FlowStore: every record is stored exactly once, for any interleaving of failures, restarts and spill", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 15 }),
      fc.array(fate, { maxLength: 25 }),
      fc.constantFrom(1500, 20_000, 1_000_000),
      async (steps, fates, maxMemoryLength) => {
        const run = new ExactlyOnceRun(fates, maxMemoryLength);
        for (const action of steps) await run.act(action);
        await run.finish();
      },
    ),
    { numRuns: 60 },
  );
});

class ExactlyOnceRun {
  readonly #store = keepingStore();
  readonly #spillDir = folder();
  readonly #fates: SendFate[];
  readonly #maxMemoryLength: number;
  #buffer: FlowBuffer;
  #pushed = 0;

  constructor(fates: readonly SendFate[], maxMemoryLength: number) {
    this.#fates = [...fates];
    this.#maxMemoryLength = maxMemoryLength;
    this.#buffer = this.#open();
  }

  #open(): FlowBuffer {
    return new FlowBuffer({
      ...QUICK,
      sendTimeoutMs: 3,
      batchRecords: 7,
      sendRecords: 20,
      maxMemoryLength: this.#maxMemoryLength,
      spillSegmentBytes: 3000,
      spillDir: this.#spillDir,
      send: (lines) => this.#send(lines),
    });
  }

  async #send(lines: FlowLines): Promise<void> {
    const fateNow = this.#fates.shift() ?? "ok";
    if (fateNow !== "refused" && fateNow !== "hang") {
      if (lines instanceof FlowBatches) this.#store.insertBatches(lines.batches);
      else this.#store.insertLines(lines.text);
    }
    if (fateNow.startsWith("hang")) await new Promise(() => undefined);
    if (fateNow !== "ok") throw new Error(fateNow);
  }

  async act(action: Step): Promise<void> {
    if (action.do === "push") {
      for (let i = 0; i < action.count; i++) this.#buffer.push(sampleDraft(this.#pushed++));
    } else if (action.do === "wait") {
      await new Promise((resolve) => setTimeout(resolve, 2));
    } else {
      await this.#buffer.close(action.closeMs);
      this.#buffer = this.#open();
    }
  }

  async finish(): Promise<void> {
    this.#fates.length = 0;
    // The last hanging send ends by its time-out.
    assert.equal(await this.#buffer.flush(5000), true);
    await this.#buffer.close(0);
    const stored = this.#store.query({}, { limit: this.#pushed + 10, order: "oldest" }).flows;
    assert.deepEqual(
      stored.map(({ record }) => record.path),
      numbered(0, this.#pushed),
    );
    assert.deepEqual(readdirSync(this.#spillDir), []);
    this.#store.close();
  }
}
