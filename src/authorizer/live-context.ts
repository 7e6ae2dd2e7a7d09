/** The context that rules read, kept up to date from a file or from HTTP. */
import { readFile } from "node:fs/promises";
import { load } from "js-yaml";
import { KUBERNETES_SCHEMA } from "../resources/yaml-schema.ts";
import type { Context, ContextOrigin } from "./access-rules.ts";
import { followFile } from "./follow-file.ts";

/** A context of more is a database, which belongs behind HTTP with a table for what is asked. */
const MAX_BYTES = 16 << 20;

export interface ContextEvents {
  /** What is wrong with the source, once each time that it changes; null when it is well again. */
  readonly onProblem: (problem: string | null) => void;
  readonly onChange?: (context: Context) => void;
}

/**
 * What is known now. INVARIANT: while the source cannot be read, what it said last counts for `maxAgeMs` and no longer: an old
 * word that a device was healthy is no reason to let it in.
 */
export class LiveContext {
  readonly #origin: ContextOrigin;
  readonly #events: ContextEvents;
  readonly #stopping = new AbortController();
  #context: Context | undefined;
  #problem: string | null = null;
  /** When the source was last known to be right, on the monotonic clock; for ever while a watched file is. */
  #goodUntilMs = 0;
  #etag: string | null = null;
  #reading = false;

  constructor(origin: ContextOrigin, events: ContextEvents) {
    this.#origin = origin;
    this.#events = events;
  }

  /** Reads for the first time, then follows. Never rejects. */
  async start(): Promise<void> {
    const { signal } = this.#stopping;
    if (this.#origin.kind === "file") await followFile(this.#origin.path, () => this.#read(), signal);
    else {
      await this.#read();
      this.#poll(this.#origin.everyMs);
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Undefined where nothing is known, or what is known is too old to be trusted. */
  get current(): Context | undefined {
    return performance.now() <= this.#goodUntilMs ? this.#context : undefined;
  }

  #poll(everyMs: number): void {
    if (this.#stopping.signal.aborted) return;
    const timer = setInterval(() => void this.#read(), everyMs);
    this.#stopping.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  /** One reading at a time: an answer that is slow must not overtake a later one. Never rejects. */
  async #read(): Promise<void> {
    if (this.#reading || this.#stopping.signal.aborted) return;
    this.#reading = true;
    try {
      this.#take(this.#origin.kind === "file" ? await readText(this.#origin.path) : await this.#fetch());
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
    this.#reading = false;
  }

  /** @param text undefined: as before. */
  #take(text: string | undefined): void {
    if (text !== undefined) {
      this.#context = parseContext(text);
      this.#events.onChange?.(this.#context);
    }
    const { kind, maxAgeMs } = this.#origin;
    this.#goodUntilMs = kind === "file" ? Number.POSITIVE_INFINITY : performance.now() + maxAgeMs;
    this.#tell(null);
  }

  #fail(problem: string): void {
    this.#goodUntilMs = Math.min(this.#goodUntilMs, performance.now() + this.#origin.maxAgeMs);
    this.#tell(problem);
  }

  #tell(problem: string | null): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#events.onProblem(problem);
  }

  /** The operator names the source, so its address is not questioned; but nobody else sends us on: redirects are refused. */
  async #fetch(): Promise<string | undefined> {
    if (this.#origin.kind !== "http") return undefined;
    const { url, timeoutMs } = this.#origin;
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#stopping.signal]);
    const headers = this.#etag === null ? {} : { "if-none-match": this.#etag };
    const response = await fetch(url, { signal, redirect: "error", headers }).catch((error: unknown) => {
      throw new Error(`the context source does not answer (${nameOf(error)})`);
    });
    if (response.status === 304) return undefined;
    if (response.status !== 200) throw new Error(`the context source answered ${response.status}`);
    const text = await limitedText(response);
    this.#etag = response.headers.get("etag");
    return text;
  }
}

function nameOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const { code, name } = cause as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : String(name ?? "error");
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`the context file cannot be read (${error.code ?? "error"})`);
  });
  if (bytes.length > MAX_BYTES) throw new Error("the context is larger than 16 MiB");
  return bytes.toString("utf8");
}

async function limitedText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new Error("the context is larger than 16 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** YAML or JSON: a map of tables, each a map of entries. @throws {Error} for anything else. */
export function parseContext(text: string): Context {
  let value: unknown;
  try {
    value = load(text, { schema: KUBERNETES_SCHEMA, maxAliases: 100 });
  } catch {
    throw new Error("the context is not valid YAML or JSON");
  }
  if (!isMap(value) || !Object.values(value).every(isMap))
    throw new Error("the context is no map of tables, each a map of entries");
  return value as Context;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
