/** `bulwark authorizer`: rules and context followed, decisions served and told. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { AccessRules } from "./access-rules.ts";
import { type AuthorizerAddress, AuthorizerServer } from "./authorizer-server.ts";
import { type AccessFacts, decideAccess } from "./decide-access.ts";
import { followFile } from "./follow-file.ts";
import { LiveContext } from "./live-context.ts";
import { readRules } from "./read-rules.ts";

/** One line of what happened: JSON. A decision names rule and subjects; it never holds a header. */
export type AuthorizerEvent =
  | { readonly kind: "listening"; readonly address: string }
  | { readonly kind: "rules"; readonly rules: number }
  | { readonly kind: "rules-refused"; readonly problems: readonly string[] }
  | { readonly kind: "context"; readonly problem: string | null }
  | {
      readonly kind: "decision";
      readonly allowed: boolean;
      /** Null: no rule matched, or (`no-context`) nothing is known. */
      readonly rule: string | null;
      readonly reason: "rule" | "no-rule" | "no-context";
      readonly subjects: Readonly<Record<string, string>>;
      readonly principal: string;
      readonly method: string;
      readonly path: string;
    };

export interface AuthorizerOptions {
  readonly rulesPath: string;
  readonly address: AuthorizerAddress;
  readonly onEvent: (event: AuthorizerEvent) => void;
  /** Milliseconds since the epoch, for time windows. */
  readonly nowMs?: () => number;
}

export interface RunningAuthorizer {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws {BulwarkError} BW_AUTHORIZER_RULES, BW_LISTEN_FAILED */
export async function startAuthorizer(options: AuthorizerOptions): Promise<RunningAuthorizer> {
  const { rulesPath, address, onEvent, nowMs = Date.now } = options;
  const stopping = new AbortController();
  const state = new AuthorizerState(rulesPath, onEvent, nowMs);
  await followFile(rulesPath, () => state.reload(), stopping.signal);
  if (state.problems.length > 0) {
    stopping.abort();
    throw new BulwarkError("BW_AUTHORIZER_RULES", `${rulesPath}: ${state.problems.join("; ")}`);
  }
  const server = new AuthorizerServer((facts) => state.decide(facts));
  const bound = await server.listen(address).catch((cause: NodeJS.ErrnoException) => {
    stopping.abort();
    state.stop();
    throw new BulwarkError(
      "BW_LISTEN_FAILED",
      `cannot listen on ${address.host}:${address.port} (${cause.code})`,
      { cause },
    );
  });
  onEvent({ kind: "listening", address: `${bound.address}:${bound.port}` });
  return {
    port: bound.port,
    close: async () => {
      stopping.abort();
      state.stop();
      await server.close();
    },
  };
}

class AuthorizerState {
  readonly #rulesPath: string;
  readonly #onEvent: AuthorizerOptions["onEvent"];
  readonly #nowMs: () => number;
  #rules: AccessRules | undefined;
  #context: LiveContext | undefined;
  /** Of the rules file as it was read last. */
  problems: readonly string[] = [];

  constructor(rulesPath: string, onEvent: AuthorizerOptions["onEvent"], nowMs: () => number) {
    this.#rulesPath = rulesPath;
    this.#onEvent = onEvent;
    this.#nowMs = nowMs;
  }

  /** Rules and their context take effect together. */
  async #take(rules: AccessRules): Promise<void> {
    const { context: origin } = rules;
    const from =
      origin.kind === "file" ? { ...origin, path: resolve(dirname(this.#rulesPath), origin.path) } : origin;
    const context = new LiveContext(from, {
      onProblem: (problem) => this.#onEvent({ kind: "context", problem }),
    });
    await context.start();
    this.#context?.stop();
    this.#rules = rules;
    this.#context = context;
    this.#onEvent({ kind: "rules", rules: rules.rules.length });
  }

  /** A change that is not valid is told, and the rules before it stay. */
  async reload(): Promise<void> {
    const read = await loadRules(this.#rulesPath);
    this.problems = read.ok ? [] : read.problems;
    if (read.ok) await this.#take(read.rules);
    else this.#onEvent({ kind: "rules-refused", problems: read.problems });
  }

  stop(): void {
    this.#context?.stop();
  }

  decide(facts: AccessFacts) {
    const context = this.#context?.current;
    const decision =
      context === undefined || this.#rules === undefined
        ? undefined
        : decideAccess(this.#rules, context, facts, this.#nowMs());
    const { principal, method, path } = facts;
    this.#onEvent({
      kind: "decision",
      allowed: decision?.allowed === true,
      rule: decision?.rule?.name ?? null,
      reason: decision === undefined ? "no-context" : decision.rule === null ? "no-rule" : "rule",
      subjects: decision?.subjects ?? {},
      principal,
      method,
      path,
    });
    return decision;
  }
}

async function loadRules(path: string): Promise<ReturnType<typeof readRules>> {
  try {
    return readRules(await readFile(path, "utf8"));
  } catch (error) {
    return { ok: false, problems: [`cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`] };
  }
}
