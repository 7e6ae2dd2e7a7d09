/** Leave to forward, as a value: the data plane's forwarding functions take a Permit, and only a decision makes one. */
import { type AmbientPolicy, decideAmbient } from "./ambient/ambient-policy.ts";
import type { Connection } from "./connection.ts";
import type { HttpRequest } from "./http-request.ts";
import { decideConnection, decideRequest, type InboundPolicy } from "./inbound.ts";
import type { Verdict } from "./verdict.ts";

let mintPermit: (verdict: Verdict) => Permit;

/** Proof that an allowing verdict was reached. One per verdict, so deciding allocates nothing. */
export class Permit {
  /** Private, so that no literal can pose as a Permit. */
  readonly #minted = null;
  readonly allowed = true;
  readonly verdict: Verdict;

  private constructor(verdict: Verdict) {
    this.verdict = verdict;
    Object.freeze(this);
  }

  /** Whether `value` was minted here, for run-time checks at trust boundaries. */
  static is(value: unknown): value is Permit {
    return typeof value === "object" && value !== null && #minted in value;
  }

  static {
    mintPermit = (verdict) => new Permit(verdict);
  }
}

export interface Denial {
  readonly allowed: false;
  readonly verdict: Verdict;
}

/** INVARIANT: keys are verdicts that a decision returned; a verdict always has the same outcome. */
const outcomes = new WeakMap<Verdict, Permit | Denial>();

/** Decides, and gives leave to take the connection (on a TCP chain: to forward its bytes). */
export function authorizeConnection(policy: InboundPolicy, connection: Connection): Permit | Denial {
  return outcomeOf(decideConnection(policy, connection));
}

/** Decides as ztunnel does, and gives leave to forward the connection's bytes. */
export function authorizeAmbient(policy: AmbientPolicy, connection: Connection): Permit | Denial {
  return outcomeOf(decideAmbient(policy, connection));
}

/** Decides, and gives leave to forward this request. */
export function authorizeRequest(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest,
): Permit | Denial {
  return outcomeOf(decideRequest(policy, connection, request));
}

function outcomeOf(verdict: Verdict): Permit | Denial {
  const known = outcomes.get(verdict);
  if (known !== undefined) return known;
  const made = verdict.allowed ? mintPermit(verdict) : Object.freeze({ allowed: false as const, verdict });
  outcomes.set(verdict, made);
  return made;
}
