import { TokenBuckets } from "../identity/authentication/token-buckets.ts";
import type { IssuedCertificate } from "../identity/ca.ts";
import type { AuditRecord, CaStore } from "../identity/store/ca-store.ts";
import { type FlowDraft, nowRfc3339Nanos } from "../model/flow-record.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { SessionHolder } from "../substrate/assignment.ts";

/** Who reports what the CA does, in the flow log. */
export const CA_REPORTER = "bulwark/ca";

/** Whom a decision is about, as far as it is known. */
export interface CaSubject {
  readonly caller?: SpiffeId;
  /** The identity that the certificate is for. */
  readonly identity?: SpiffeId;
  readonly method?: string;
  readonly pod?: SessionHolder | undefined;
  readonly address?: string | undefined;
}

export interface CaJournalistOptions {
  readonly records: Pick<CaStore, "audit">;
  readonly record: (draft: FlowDraft) => void;
  readonly onRefused: (code: string, message: string) => void;
  readonly onProblem: (error: unknown) => void;
}

/** Refusals that are written; strangers choose how many there are, and a disk ends. Those in between are counted in the next that is. */
const WRITTEN_REFUSALS = { ratePerSecond: 50, burst: 1000, capacity: 1 };

/** Writes down every decision of the CA: in its audit records, and in the flow log. */
export class CaJournalist {
  readonly #options: CaJournalistOptions;
  readonly #written = new TokenBuckets(WRITTEN_REFUSALS);
  #unwritten = 0;
  #issued = 0;
  #refused = 0;

  constructor(options: CaJournalistOptions) {
    this.#options = options;
  }

  get counts(): { readonly issued: number; readonly refused: number } {
    return { issued: this.#issued, refused: this.#refused };
  }

  /** @throws {BulwarkError} BW_CA_STORE_…: what is not on record is not handed out. */
  async issued({ serial, notAfter }: IssuedCertificate, subject: CaSubject): Promise<void> {
    const message = `a certificate until ${notAfter.toISOString()}${from(subject)}`;
    await this.#options.records.audit({ ...auditOf("issued", subject), serial, code: null, message });
    this.#issued++;
    this.#options.record({
      ...draftOf(subject),
      kind: "rotation",
      verdict: "allow",
      tls: { peerSerial: serial.toUpperCase() },
    });
  }

  /** @returns the error, for throwing it. What is no refusal but a fault of ours passes through. */
  async refused(error: unknown, subject: CaSubject): Promise<unknown> {
    if (!(error instanceof BulwarkError)) return error;
    this.#refused++;
    const { code, message, detail } = error;
    const isTold = detail.tell !== false && this.#written.take("").allowed;
    if (!isTold) {
      this.#unwritten++;
      return error;
    }
    this.#options.onRefused(code, message);
    this.#options.record({
      ...draftOf(subject),
      kind: "decision",
      verdict: "deny",
      layer: "ca",
      reason: code,
      explanation: [message],
    });
    await this.#audit({
      ...auditOf("refused", subject),
      serial: null,
      code,
      message: `${message}${from(subject)}${this.#skipped()}`,
    });
    return error;
  }

  /** A refusal stays one when it cannot be written. */
  async #audit(record: AuditRecord): Promise<void> {
    try {
      await this.#options.records.audit(record);
    } catch (error) {
      this.#options.onProblem(error);
    }
  }

  #skipped(): string {
    const count = this.#unwritten;
    this.#unwritten = 0;
    return count === 0 ? "" : `; ${count} refusals before this one were too many to write down`;
  }
}

function from({ address }: CaSubject): string {
  return address === undefined ? "" : `, asked for from ${address}`;
}

function auditOf(
  kind: "issued" | "refused",
  { caller, identity, method }: CaSubject,
): Pick<AuditRecord, "timeMs" | "kind" | "caller" | "method" | "spiffeId"> {
  return {
    timeMs: Date.now(),
    kind,
    caller: caller ?? null,
    method: method ?? null,
    spiffeId: identity ?? null,
  };
}

function draftOf({
  pod,
  identity,
  caller,
  address,
}: CaSubject): Pick<FlowDraft, "time" | "reporter" | "source"> {
  const ip = pod?.address ?? address;
  // Where it is not known for whom, it is told who asked.
  const principal = (identity ?? caller)?.slice("spiffe://".length);
  const source =
    principal === undefined && ip === undefined ? undefined : { workload: pod?.workload, principal, ip };
  return { time: nowRfc3339Nanos(), reporter: CA_REPORTER, source };
}
