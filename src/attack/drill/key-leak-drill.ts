import { X509Certificate } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { RestoreReport, RevokeReport } from "../../control/revocation/messages.ts";
import type { RpcPeer } from "../../control/rpc.ts";
import { runCall } from "../../control/run-call.ts";
import type { StateFolder } from "../../control/state-folder.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { podKey } from "../../substrate/assignment.ts";
import type { Credentials } from "../mesh-under-attack.ts";
import { RunningMeshUnderAttack } from "../running-mesh.ts";
import { stealIdentity } from "../stolen-identity.ts";
import { serviceAuthority } from "../targets.ts";
import { AttackerProcess } from "./attacker-process.ts";
import type { DrillReport, DrillStep, DrillStepName } from "./drill-report.ts";
import { type Scene, sceneOf } from "./drill-scene.ts";
import type { SuspiciousUse } from "./suspicious-uses.ts";
import { WatchedIdentity } from "./watched-identity.ts";

export interface KeyLeakOptions {
  readonly state: StateFolder;
  /** To the control plane, the admin token shown. */
  readonly admin: RpcPeer;
  /** Whose key leaks; default the first workload that may call another. */
  readonly workload?: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: DrillStep) => void;
}

const POLL_MS = 50;
/** Proxies hand records on within 200 ms; a busy machine takes longer. */
const DETECT_MS = 20_000;
/** The CA's own alarm waits for five seconds, in which a proxy could still say that the certificate is its own. */
const ALERT_MS = 30_000;
const CUT_MS = 20_000;
const ROTATE_MS = 60_000;

/**
 * Leaks a certificate and key of a workload on purpose, uses them as a thief would, and measures how long it takes to see it, to revoke it, to cut
 * what stands on it, and to have the workload back with other keys. Leaves the workload with a new token and certificate, whatever happens.
 * @throws {BulwarkError} BW_CLI_INPUT: no such workload, or none that may call another; those of the control plane.
 */
export async function runKeyLeakDrill(options: KeyLeakOptions): Promise<DrillReport> {
  const mesh = await RunningMeshUnderAttack.open(options.state, { signal: options.signal });
  try {
    return await new KeyLeakDrill(options, mesh, sceneOf(mesh, options.workload)).run();
  } finally {
    mesh.close();
  }
}

class KeyLeakDrill {
  readonly #options: KeyLeakOptions;
  readonly #mesh: RunningMeshUnderAttack;
  readonly #scene: Scene;
  readonly #steps: DrillStep[] = [];
  readonly #startedAt = new Date();
  readonly #identity: WatchedIdentity;
  readonly #stolenToken: string;
  #credentials: Credentials | undefined;
  #attacker: AttackerProcess | undefined;
  #useMs: number | undefined;
  #revoked = false;
  #restored = false;

  constructor(options: KeyLeakOptions, mesh: RunningMeshUnderAttack, scene: Scene) {
    this.#options = options;
    this.#mesh = mesh;
    this.#scene = scene;
    this.#identity = new WatchedIdentity(mesh, options.admin, scene.victim.spiffeId);
    this.#stolenToken = mesh.tokenOf(scene.victim);
  }

  async run(): Promise<DrillReport> {
    const steps: readonly [DrillStepName, () => Promise<StepOutcome>][] = [
      ["leak", () => this.#leak()],
      ["use", () => this.#use()],
      ["detect", () => this.#detect()],
      ["alert", () => this.#alert()],
      ["revoke", () => this.#revoke()],
      ["cut", () => this.#cut()],
      ["rotate", () => this.#rotate()],
      ["verify", () => this.#verify()],
    ];
    let leftBehind: readonly string[];
    try {
      for (const [name, work] of steps) if (!(await this.#step(name, work))) break;
    } finally {
      leftBehind = await this.#cleanUp();
    }
    return this.#report(steps.length, leftBehind);
  }

  #report(expected: number, leftBehind: readonly string[]): DrillReport {
    const { victim, target, call } = this.#scene;
    return {
      drill: "key-leak",
      startedAt: this.#startedAt.toISOString(),
      workload: victim.workload,
      identity: victim.spiffeId,
      serial: this.#credentials?.serial ?? "",
      target: `${call.request.method} ${call.request.path} at ${target.workload.key}:${target.port}`,
      steps: this.#steps,
      passed: this.#steps.length === expected && this.#steps.every(({ ok }) => ok) && leftBehind.length === 0,
      leftBehind,
    };
  }

  /** Without a leak that can be used, and an alarm, the rest still tells something; without a leak or an interruption nothing does. */
  async #step(name: DrillStepName, work: () => Promise<StepOutcome>): Promise<boolean> {
    if (this.#options.signal.aborted) return false;
    const fromMs = performance.now();
    const { ok, happened } = await work().catch(asOutcome);
    const toMs = performance.now();
    const sinceUseMs = this.#useMs === undefined ? 0 : toMs - this.#useMs;
    const step = { step: name, ok, tookMs: toMs - fromMs, sinceUseMs, happened };
    this.#steps.push(step);
    this.#options.onStep(step);
    return ok || !["leak", "use", "revoke"].includes(name);
  }

  async #leak(): Promise<StepOutcome> {
    const { victim } = this.#scene;
    await this.#identity.serialsInUse();
    this.#credentials = await stealIdentity(() => this.#mesh.dialControl(), this.#stolenToken, victim);
    return {
      ok: true,
      happened: `a copy of ${podKey(victim)}'s token, and with it a key and certificate ${this.#credentials.serial}`,
    };
  }

  async #use(): Promise<StepOutcome> {
    const { target, call, thief } = this.#scene;
    if (this.#credentials === undefined) return { ok: false, happened: "nothing was leaked" };
    this.#attacker = new AttackerProcess({
      host: target.pod.address,
      port: target.socketPort,
      from: thief.from,
      credentials: this.#credentials,
      request: call.request,
    });
    this.#useMs = performance.now();
    const { reached, happened } = await this.#attacker.use();
    return {
      ok: reached,
      happened: `from ${thief.name}: ${happened}${reached ? ", and the connection stays open" : ""}`,
    };
  }

  async #detect(): Promise<StepOutcome> {
    let uses: readonly SuspiciousUse[] = [];
    const seen = await this.#until(DETECT_MS, async () => {
      uses = await this.#identity.suspiciousUses(this.#startedAt);
      return uses.length > 0;
    });
    const [use] = uses;
    if (!seen || use === undefined)
      return { ok: false, happened: "the flow log shows no use that is not the workload's own" };
    const isLeaked = use.serial === this.#credentials?.serial;
    return {
      ok: isLeaked,
      happened: `flow log of ${use.reporter}: ${use.suspicions.join(", ")} (${use.from}, certificate ${use.serial})`,
    };
  }

  async #alert(): Promise<StepOutcome> {
    const serial = this.#credentials?.serial ?? "";
    const ok = await this.#until(ALERT_MS, () => this.#identity.isAlertedOf(serial));
    const happened = ok
      ? "ca status: two keys are certified for one identity, one of them in no proxy's hands"
      : "no alert of the CA";
    return { ok, happened };
  }

  async #revoke(): Promise<StepOutcome> {
    this.#revoked = true;
    const params = { spiffeId: this.#scene.victim.spiffeId, reason: "keyCompromise" };
    const { revoked, proxies, connectionsCut } = (await this.#identity.ask(
      "ca.revoke",
      params,
    )) as RevokeReport;
    const isRevoked = revoked.some(({ serial }) => serial.toUpperCase() === this.#credentials?.serial);
    // Nothing is left to revoke of a certificate that ended while the alert was waited for.
    const hasEnded = this.#credentials !== undefined && endOf(this.#credentials) <= Date.now();
    return {
      ok: isRevoked || hasEnded,
      happened: `${revoked.length} certificates of the identity${isRevoked || !hasEnded ? "" : " (the leaked one had ended)"}; ${proxies.confirmed} of ${proxies.told} proxies confirmed, ${connectionsCut} connections cut`,
    };
  }

  async #cut(): Promise<StepOutcome> {
    const overdue = new AbortController();
    const late = delay(CUT_MS, "late", { signal: overdue.signal }).catch(() => "");
    const ok = (await Promise.race([this.#attacker?.cut.then(() => "cut"), late])) === "cut";
    overdue.abort();
    return {
      ok,
      happened: ok ? "the attacker's open connection is gone" : "the attacker's connection is still open",
    };
  }

  async #rotate(): Promise<StepOutcome> {
    const before = new Set(this.#identity.knownSerials);
    const { pods } = (await this.#identity.ask("ca.restore", {
      spiffeId: this.#scene.victim.spiffeId,
    })) as RestoreReport;
    let fresh: readonly string[] = [];
    const ok = await this.#until(ROTATE_MS, async () => {
      const inUse = await this.#identity.serialsInUse();
      fresh = inUse.filter((serial) => !before.has(serial));
      return fresh.length >= pods.length && inUse.length === fresh.length;
    });
    this.#restored = ok;
    return {
      ok,
      happened: `new tokens and keys for ${pods.join(", ")}${ok ? "" : ": not all proxies have a new certificate"}`,
    };
  }

  async #verify(): Promise<StepOutcome> {
    const again = await this.#attacker?.tryAgain(false);
    const resumed = await this.#attacker?.tryAgain(true);
    const token = await this.#tryToken();
    const own = await this.#rightfulCall();
    const checks = [
      { ok: again?.reached === false, what: `attacker's certificate: ${again?.happened ?? "?"}` },
      { ok: resumed?.reached === false, what: `its TLS session: ${resumed?.happened ?? "?"}` },
      { ok: token !== undefined, what: `stolen token: ${token ?? "the CA STILL TAKES IT"}` },
      { ok: own.ok, what: `${this.#scene.victim.workload} itself: ${own.happened}` },
    ];
    return {
      ok: checks.every(({ ok }) => ok),
      happened: checks.map(({ ok, what }) => `${ok ? "" : "NOT "}${what}`).join("; "),
    };
  }

  /** @returns the CA's refusal; undefined when it signs. */
  async #tryToken(): Promise<string | undefined> {
    try {
      await stealIdentity(() => this.#mesh.dialControl(), this.#stolenToken, this.#scene.victim);
      return undefined;
    } catch (error) {
      return error instanceof BulwarkError ? error.code : String(error);
    }
  }

  /** Through its own sidecar, as the application makes it. New certificates need a moment to be in force everywhere. */
  async #rightfulCall(): Promise<StepOutcome> {
    const { victim, target, call } = this.#scene;
    const url = new URL(`http://${serviceAuthority(this.#mesh, target) ?? ""}${call.request.path}`);
    const { method } = call.request;
    const wanted = { url, method, headers: [], http2: false, timeoutMs: 10_000, insecure: false };
    let happened = "";
    const ok = await this.#until(ROTATE_MS, async () => {
      const { answer, result } = await runCall(this.#options.state, victim.workload, victim.replica, wanted);
      happened = answer.failure ?? `HTTP ${answer.status}`;
      return result === "answered";
    });
    return { ok, happened };
  }

  /** @param untilAborted whether Ctrl-C ends the waiting. */
  async #until(withinMs: number, isSo: () => Promise<boolean>, untilAborted = true): Promise<boolean> {
    const deadlineMs = performance.now() + withinMs;
    while (!(await isSo())) {
      if (performance.now() > deadlineMs || (untilAborted && this.#options.signal.aborted)) return false;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return true;
  }

  /** @returns what could not be put back. Never rejects. */
  async #cleanUp(): Promise<readonly string[]> {
    this.#attacker?.close();
    const left: string[] = [];
    const serial = this.#credentials?.serial.toLowerCase();
    if (serial !== undefined && !this.#revoked)
      await this.#identity
        .ask("ca.revoke", { serial, reason: "superseded" })
        .catch(() => left.push(`the certificate of the drill: bulwark ca revoke ${serial}`));
    const { spiffeId } = this.#scene.victim;
    if (!this.#revoked || this.#restored) return left;
    const isBack = async () => (await this.#identity.serialsInUse()).some((one) => !before.has(one));
    const before = new Set(this.#identity.knownSerials);
    const restored = await this.#identity
      .ask("ca.restore", { spiffeId })
      .then(() => this.#until(ROTATE_MS, isBack, false))
      .catch(() => false);
    if (!restored) left.push(`the identity without certificates: bulwark ca restore ${spiffeId}`);
    return left;
  }
}

function endOf({ chainPem }: Credentials): number {
  return Date.parse(new X509Certificate(chainPem).validTo);
}

/** What the control plane refuses, or that it is away, is the outcome of a step; the rest is a bug. */
function asOutcome(error: unknown): StepOutcome {
  if (error instanceof BulwarkError) return { ok: false, happened: error.message };
  throw error;
}

interface StepOutcome {
  readonly ok: boolean;
  readonly happened: string;
}
