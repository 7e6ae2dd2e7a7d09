import type {
  FinishedRotation,
  Rotation,
  RotationKind,
  RotationPhase,
} from "../../identity/rotation/rotation.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { connectAdmin } from "../control-link.ts";
import type { ControlEvent } from "../messages.ts";
import type { RpcPeer } from "../rpc.ts";
import type { StateFolder } from "../state-folder.ts";
import type { RotationReport, WaitingProxy } from "./messages.ts";

/** What somebody who watches a rotation is told, in order. */
export type RotationProgress =
  | {
      readonly event: "begun";
      readonly rotation: Rotation;
      readonly joined: boolean;
      readonly proxies: number;
    }
  | { readonly event: "phase-ended"; readonly phase: RotationPhase; readonly durationMs: number }
  /** After two seconds, and whenever it is about others. */
  | { readonly event: "waiting"; readonly phase: RotationPhase; readonly waitingFor: readonly WaitingProxy[] }
  | { readonly event: "overlap"; readonly until: string }
  | { readonly event: "problem"; readonly message: string }
  | { readonly event: "control-away" }
  | { readonly event: "done"; readonly rotation: FinishedRotation; readonly durationMs: number };

export interface WatchOptions {
  readonly kind: RotationKind;
  readonly force: boolean;
  readonly overlapMs?: number;
  /** Ends the watching; the rotation goes on. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RotationProgress) => void;
}

const ORDER: readonly RotationPhase[] = ["both-trusted", "new-signs", "old-removed"];
const POLL_MS = 100;
const SHOW_WAITING_AFTER_MS = 2000;
/** `up` starts a control plane that died within ten seconds at most. */
const CONTROL_AWAY_MS = 60_000;
const REQUEST_TIMEOUT_MS = 30_000;

/**
 * Starts a rotation, or joins the one that is under way, and follows it to its end, also past a control plane that dies meanwhile.
 * @returns undefined when `signal` came first.
 * @throws {BulwarkError} as RotationDriver.rotate; BW_CONTROL_UNREACHABLE when no control plane answers for a minute.
 */
export async function watchRotation(
  state: StateFolder,
  options: WatchOptions,
): Promise<FinishedRotation | undefined> {
  const watch = new RotationWatch(state, options);
  try {
    return await watch.run();
  } finally {
    watch.close();
  }
}

class RotationWatch {
  readonly #state: StateFolder;
  readonly #options: WatchOptions;
  #peer: RpcPeer | undefined;
  #known: Rotation | undefined;
  #waitingShown = "";
  #overlapShown = "";
  #problemShown: string | null = null;
  #phaseSeenMs = 0;

  constructor(state: StateFolder, options: WatchOptions) {
    this.#state = state;
    this.#options = options;
  }

  close(): void {
    this.#peer?.close();
  }

  async run(): Promise<FinishedRotation | undefined> {
    const { kind, force, overlapMs, signal, onProgress } = this.#options;
    const params = { kind, force, ...(overlapMs === undefined ? {} : { overlapMs }) };
    const before = await this.#ask("ca.rotation", {});
    let report = await this.#ask("ca.rotate", params);
    if (report.rotation !== null) {
      this.#enter(report.rotation);
      onProgress({
        event: "begun",
        rotation: report.rotation,
        joined: before.rotation !== null,
        proxies: report.proxies,
      });
    }
    while (!signal.aborted) {
      const { last } = report;
      if (report.rotation === null && last !== null && last.id !== before.last?.id) return this.#done(last);
      // Control died before the first step was on the disk.
      if (report.rotation === null) report = await this.#ask("ca.rotate", params);
      this.#show(report);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      report = await this.#ask("ca.rotation", {});
    }
    return undefined;
  }

  #done(last: FinishedRotation): FinishedRotation {
    if (this.#known?.id === last.id) this.#ended(this.#known, last.finishedAt);
    const durationMs = Date.parse(last.finishedAt) - Date.parse(last.startedAt);
    this.#options.onProgress({ event: "done", rotation: last, durationMs });
    return last;
  }

  #enter(rotation: Rotation): void {
    const known = this.#known;
    // An answer is handled a turn later than an event that came behind it in the same bytes.
    if (known?.id === rotation.id && ORDER.indexOf(rotation.phase) < ORDER.indexOf(known.phase)) return;
    if (known?.id === rotation.id && known.phase !== rotation.phase) this.#ended(known, rotation.phaseSince);
    if (known?.phase !== rotation.phase) this.#phaseSeenMs = performance.now();
    this.#known = rotation;
  }

  #ended({ phase, phaseSince }: Rotation, until: string): void {
    const durationMs = Date.parse(until) - Date.parse(phaseSince);
    this.#options.onProgress({ event: "phase-ended", phase, durationMs });
  }

  #show({ rotation, waitingFor, problem, overlapUntil }: RotationReport): void {
    if (rotation === null) return;
    this.#enter(rotation);
    if (problem !== null && problem !== this.#problemShown)
      this.#options.onProgress({ event: "problem", message: problem });
    this.#problemShown = problem;
    if (overlapUntil !== null && waitingFor.length === 0 && overlapUntil !== this.#overlapShown) {
      this.#overlapShown = overlapUntil;
      this.#options.onProgress({ event: "overlap", until: overlapUntil });
    }
    const text = JSON.stringify(waitingFor);
    const isLong = performance.now() - this.#phaseSeenMs >= SHOW_WAITING_AFTER_MS;
    if (!isLong || text === this.#waitingShown || waitingFor.length === 0) return;
    this.#waitingShown = text;
    this.#options.onProgress({ event: "waiting", phase: rotation.phase, waitingFor });
  }

  async #ask(method: string, params: unknown): Promise<RotationReport> {
    const deadlineMs = performance.now() + CONTROL_AWAY_MS;
    let told = false;
    for (;;) {
      try {
        this.#peer ??= await this.#connect();
        return (await this.#peer.request(method, params, REQUEST_TIMEOUT_MS)) as RotationReport;
      } catch (error) {
        this.#peer?.close();
        this.#peer = undefined;
        if (!isAway(error) || this.#options.signal.aborted || performance.now() > deadlineMs) throw error;
        // A mesh that does not run is told at once; one that was there comes back.
        if (this.#known === undefined) throw error;
        if (!told) this.#options.onProgress({ event: "control-away" });
        told = true;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
  }

  /** Phases can be shorter than the time between two questions: they are told as they begin, too. */
  #connect(): Promise<RpcPeer> {
    return connectAdmin(this.#state, {
      event: (event) => {
        const told = event as ControlEvent;
        if (told.kind === "ca-rotation" && told.rotation !== null && this.#known !== undefined)
          this.#enter(told.rotation);
      },
    }).then(async (peer) => {
      await peer.request("subscribe", {}, REQUEST_TIMEOUT_MS);
      return peer;
    });
  }
}

function isAway(error: unknown): boolean {
  return (
    error instanceof BulwarkError &&
    ["BW_RPC_CLOSED", "BW_RPC_TIMEOUT", "BW_CONTROL_UNREACHABLE"].includes(error.code)
  );
}
