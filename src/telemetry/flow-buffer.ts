import { randomBytes } from "node:crypto";
import type { FlowDraft } from "../model/flow-record.ts";
import { FlowBatches } from "./flow-batch.ts";
import { FlowBatchWriter } from "./flow-batch-writer.ts";
import type { FlowLines } from "./flow-spill.ts";
import { FlowSpill } from "./flow-spill.ts";
import { RetryPause, withTimeout } from "./retry-pause.ts";

/** What is wrong with the way to the log, or that it is over. Told at every change, and once a second while records are dropped. */
export interface FlowDegradation {
  /**
   * `sink-down`: kept and retried, on disk. `memory-only`: the disk refuses (full), kept in memory up to the bound.
   * `dropping`: neither has room. `torn`: a spill file of a killed process had an unreadable end. `recovered`: all was handed on.
   */
  readonly state: "sink-down" | "memory-only" | "dropping" | "torn" | "recovered";
  /** For a person; holds no record. */
  readonly message: string;
  /** Records dropped since the buffer was made. */
  readonly dropped: number;
}

export interface FlowBufferOptions {
  /** Who reports: the front of every id, `<reporter>@<random>:<n>`. A receiver can thus check that a sender uses its own ids. */
  readonly reporter: string;
  /**
   * Hands records to the log, as batches ({@link FlowBatches}) or, when they were on disk, as lines; resolves only once they are stored. A rejection, or silence beyond `sendTimeoutMs`, means "send again":
   * the receiver must ignore ids that it has (as `FlowStore` does).
   */
  readonly send: (lines: FlowLines) => Promise<void>;
  /** Folder of this process alone for what memory cannot or should not hold. A process started on the same folder sends it first. */
  readonly spillDir: string;
  readonly onDegraded?: (event: FlowDegradation) => void;
  /** Default 200 ms: what a `kill -9` of this process can lose while the sink is well. */
  readonly flushIntervalMs?: number;
  /** Records in one batch. Default 1,024. */
  readonly batchRecords?: number;
  /** Records in one `send`. Default 4,096. */
  readonly sendRecords?: number;
  /** Bound for the batches in memory, in bytes. Default 8 Mi: some 80,000 records. */
  readonly maxMemoryLength?: number;
  /** Default 1 GiB. */
  readonly maxSpillBytes?: number;
  readonly spillSegmentBytes?: number;
  /** Default 2 s. */
  readonly sendTimeoutMs?: number;
  /** First and longest pause before sending again. Defaults 100 ms and 5 s. */
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
}

export interface FlowBufferStats {
  readonly pushed: number;
  readonly acknowledged: number;
  readonly dropped: number;
  readonly failedSends: number;
  /** Serialised or not, in memory now. */
  readonly inMemory: number;
  readonly spillBytes: number;
}

const DEFAULTS = {
  flushIntervalMs: 200,
  batchRecords: 1024,
  sendRecords: 4096,
  maxMemoryLength: 8 * 1024 * 1024,
  sendTimeoutMs: 2_000,
  retryMinMs: 100,
  retryMaxMs: 5_000,
};

/** A batch of records with long texts ends earlier. */
const LONGEST_BATCH = 512 * 1024;
const DROP_REPORT_INTERVAL_MS = 1_000;

/** What is being sent: from memory (then it is not in the queue any more) or from the spill (then it still is there). */
interface InFlight {
  readonly lines: FlowLines;
  readonly fromSpill: boolean;
  spilled: boolean;
}

/**
 * Between a proxy's hot path and the log: takes records at once, hands them on in batches, keeps them while the log is away.
 *
 * Order of sending: the batch in flight, then the disk, then memory. INVARIANT: what is on disk is older than what waits in memory.
 * While the sink is down every batch goes to disk when it is serialised, so that the death of this process loses no more then either.
 * See docs/flows.md for what can be lost and when.
 */
export class FlowBuffer {
  /** The front of this process's ids, new with each start: numbers begin at 0 again. */
  readonly instance: string;
  readonly #options: FlowBufferOptions & typeof DEFAULTS;
  readonly #spill: FlowSpill;
  readonly #retry: RetryPause;
  readonly #writer: FlowBatchWriter;
  #queue: FlowBatches[] = [];
  #queueLength = 0;
  #inFlight: InFlight | undefined;
  #nextNumber = 0;
  #pushed = 0;
  #acknowledged = 0;
  #dropped = 0;
  #failedSends = 0;
  #consecutiveFailures = 0;
  #diskRefuses = false;
  #degraded = false;
  #lastDropReportMs = Number.NEGATIVE_INFINITY;
  #flushTimer: NodeJS.Timeout | undefined;
  #pumping: Promise<void> | undefined;
  #drained: (() => void)[] = [];
  #closed = false;

  constructor(options: FlowBufferOptions) {
    this.#options = { ...DEFAULTS, ...options };
    this.instance = `${options.reporter}@${randomBytes(8).toString("hex")}`;
    this.#writer = new FlowBatchWriter(this.instance);
    this.#retry = new RetryPause(this.#options.retryMinMs, this.#options.retryMaxMs);
    this.#spill = new FlowSpill({
      dir: options.spillDir,
      ...(options.maxSpillBytes === undefined ? {} : { maxBytes: options.maxSpillBytes }),
      ...(options.spillSegmentBytes === undefined ? {} : { segmentBytes: options.spillSegmentBytes }),
      onProblem: (message) => this.#tell("torn", message),
    });
    if (!this.#spill.isEmpty) this.#pump();
  }

  /**
   * Takes a record; never throws, never waits. It is written at once; objects within it (source, destination …) are written once as
   * long as they are the same objects, so they must not be changed. After {@link close} records are counted as dropped.
   */
  push(draft: FlowDraft): void {
    this.#pushed += 1;
    if (this.#closed) {
      this.#drop(1, "the buffer is closed");
      return;
    }
    this.#write(draft);
    if (this.#writer.count >= this.#options.batchRecords || this.#writer.length > LONGEST_BATCH) {
      this.#seal();
    } else if (this.#flushTimer === undefined) {
      this.#flushTimer = setTimeout(() => this.#seal(), this.#options.flushIntervalMs);
      this.#flushTimer.unref();
    }
  }

  get stats(): FlowBufferStats {
    const flying = this.#inFlight !== undefined && !this.#inFlight.fromSpill ? this.#inFlight.lines.count : 0;
    return {
      pushed: this.#pushed,
      acknowledged: this.#acknowledged,
      dropped: this.#dropped,
      failedSends: this.#failedSends,
      inMemory: this.#writer.count + flying + this.#queue.reduce((sum, lines) => sum + lines.count, 0),
      spillBytes: this.#spill.bytes,
    };
  }

  /** Sends what there is without waiting for the interval. True once all was acknowledged, false when the time ran out before. */
  async flush(timeoutMs: number): Promise<boolean> {
    this.#seal();
    this.#pump();
    this.#retry.wake();
    if (this.#isDrained()) return true;
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#drained.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** Sends for at most `timeoutMs`, then leaves the rest on disk for the next start. True when nothing remained. */
  async close(timeoutMs: number): Promise<boolean> {
    const drained = await this.flush(timeoutMs);
    this.#closed = true;
    this.#retry.wake();
    this.spillNow();
    return drained;
  }

  /**
   * Puts all that memory holds on disk, synchronously: for a process's last moment (`exit`, an uncaught error).
   * What was in flight is written too: the store knows ids that it has.
   */
  spillNow(): void {
    this.#seal();
    this.#spillQueue();
    try {
      this.#spill.close();
    } catch (error) {
      this.#tell("memory-only", `the spill file could not be made durable: ${errorText(error)}`);
    }
  }

  #seal(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    const { count } = this.#writer;
    if (count === 0) return;
    const lines = new FlowBatches([this.#writer.finish()], count);
    this.#queue.push(lines);
    this.#queueLength += lines.length;
    if (this.#consecutiveFailures > 0 || this.#memoryLength() > this.#options.maxMemoryLength)
      this.#spillQueue();
    this.#dropBeyondBound();
    this.#pump();
  }

  #write(draft: FlowDraft): void {
    try {
      this.#writer.add(draft, this.#nextNumber);
      this.#nextNumber += 1;
    } catch (error) {
      this.#drop(1, `BUG: a record cannot be written: ${errorText(error)}`);
    }
  }

  #memoryLength(): number {
    const flying =
      this.#inFlight !== undefined && !this.#inFlight.fromSpill ? this.#inFlight.lines.length : 0;
    return this.#queueLength + flying;
  }

  /** Moves memory's batches to disk, the one in flight first: it is older, and may yet fail. */
  #spillQueue(): void {
    try {
      const flying = this.#inFlight;
      if (flying !== undefined && !flying.fromSpill && !flying.spilled) {
        this.#spill.append(flying.lines);
        flying.spilled = true;
      }
      for (let lines = this.#queue[0]; lines !== undefined; lines = this.#queue[0]) {
        this.#spill.append(lines);
        this.#queue.shift();
        this.#queueLength -= lines.length;
      }
      this.#diskRefuses = false;
    } catch (error) {
      if (!this.#diskRefuses) {
        this.#tell(
          "memory-only",
          `flow records cannot be put on disk, memory holds them: ${errorText(error)}`,
        );
      }
      this.#diskRefuses = true;
    }
  }

  /** Last resort: memory is full and the disk refuses. The newest go, so that what led here stays told. */
  #dropBeyondBound(): void {
    while (this.#queue.length > 0 && this.#memoryLength() > this.#options.maxMemoryLength) {
      const lines = this.#queue.pop();
      if (lines === undefined) return;
      this.#queueLength -= lines.length;
      this.#drop(lines.count, "memory is at its bound and the disk refuses");
    }
  }

  #drop(count: number, why: string): void {
    this.#dropped += count;
    const now = performance.now();
    if (now - this.#lastDropReportMs < DROP_REPORT_INTERVAL_MS) return;
    this.#lastDropReportMs = now;
    this.#tell("dropping", `flow records are being DROPPED, ${this.#dropped} so far: ${why}`);
  }

  #pump(): void {
    if (this.#closed) return;
    this.#pumping ??= this.#sendAll().finally(() => {
      this.#pumping = undefined;
      // A batch may have come between the loop's last look and now.
      if (!this.#closed && this.#hasSendable()) this.#pump();
    });
  }

  #hasSendable(): boolean {
    return this.#queue.length > 0 || !this.#spill.isEmpty;
  }

  #isDrained(): boolean {
    return this.#inFlight === undefined && !this.#hasSendable();
  }

  async #sendAll(): Promise<void> {
    while (!this.#closed) {
      this.#inFlight ??= this.#takeNext();
      if (this.#inFlight === undefined) break;
      if (!(await this.#sendOnce(this.#inFlight))) await this.#retry.pause(this.#consecutiveFailures);
    }
    if (this.#isDrained()) this.#announceDrained();
  }

  #takeNext(): InFlight | undefined {
    const spilled = this.#spill.peek(this.#options.sendRecords);
    if (spilled !== undefined) return { lines: spilled, fromSpill: true, spilled: true };
    const taken: Buffer[] = [];
    let count = 0;
    for (let lines = this.#queue[0]; lines !== undefined; lines = this.#queue[0]) {
      if (count > 0 && count + lines.count > this.#options.sendRecords) break;
      this.#queue.shift();
      this.#queueLength -= lines.length;
      taken.push(...lines.batches);
      count += lines.count;
    }
    if (count === 0) return undefined;
    return { lines: new FlowBatches(taken, count), fromSpill: false, spilled: false };
  }

  async #sendOnce(flying: InFlight): Promise<boolean> {
    try {
      await withTimeout(() => this.#options.send(flying.lines), this.#options.sendTimeoutMs);
    } catch (error) {
      this.#onFailure(error);
      return false;
    }
    this.#consecutiveFailures = 0;
    this.#acknowledged += flying.lines.count;
    this.#inFlight = undefined;
    if (flying.fromSpill) this.#spill.drop(flying.lines.count);
    return true;
  }

  #onFailure(error: unknown): void {
    this.#failedSends += 1;
    this.#consecutiveFailures += 1;
    if (this.#consecutiveFailures === 1) {
      this.#tell(
        "sink-down",
        `the flow log does not take records, they are kept and sent later: ${errorText(error)}`,
      );
    }
    this.#spillQueue();
    // On disk now: sent from there, in its order.
    if (this.#inFlight?.spilled) this.#inFlight = undefined;
  }

  #announceDrained(): void {
    if (this.#degraded)
      this.#tell("recovered", "the flow log takes records again; all that was kept was handed on");
    const waiting = this.#drained;
    this.#drained = [];
    for (const resolve of waiting) resolve();
  }

  #tell(state: FlowDegradation["state"], message: string): void {
    if (state !== "torn") this.#degraded = state !== "recovered";
    try {
      this.#options.onDegraded?.({ state, message, dropped: this.#dropped });
    } catch {
      // A listener's fault must not stop the proxy, nor the sending.
    }
  }
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
