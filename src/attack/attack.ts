import type { MeshUnderAttack } from "./mesh-under-attack.ts";

/**
 * `stopped`: refused, while the legitimate variant passes on the same way. `succeeded`: what happened is not what the
 * configuration promises. `allowed by configuration`: the mesh keeps its word, and its word is too wide. `not possible here`:
 * it could not be shown; never counted as stopped.
 */
export type Outcome = "stopped" | "succeeded" | "allowed by configuration" | "not possible here";

/** What an attack leaves to look at. Never a key, a token or a whole certificate. */
export interface Evidence {
  /** HTTP status that the attacker was given. */
  readonly status?: number;
  /** Bytes that came back to the attacker, as the attacker's innermost layer counts them. */
  readonly bytesReceived?: number;
  /** Serial of the certificate that was used, upper-case hexadecimal. */
  readonly certificateSerial?: string;
  /** Id of the flow record. */
  readonly flowRecord?: string;
  /** What a capture of a link saw meanwhile. */
  readonly packets?: PacketEvidence;
  /** How far the network's own counters went on meanwhile, in packets. */
  readonly counters?: {
    readonly dropped: number;
    readonly leftByOthers: number;
    /** By source address, at the far end. */
    readonly arrived: Readonly<Record<string, number>>;
  };
  /** What else was seen: the first bytes, an error, what the application saw. */
  readonly seen?: string;
}

/** Where pods are network namespaces: what was on the wire. */
export interface PacketEvidence {
  /** `outside of the mesh` */
  readonly at: string;
  readonly seen: number;
  /** Of these, what gateways sent. */
  readonly fromGateways?: number;
  /** Packets with the attempt's own mark, or of its own connection. */
  readonly ofTheAttempt: number;
  /** That passed and are not counted here. With any, the attempt proves nothing. */
  readonly lost: number;
}

/** One thing that was tried. */
export interface AttackResult {
  /** `e6` */
  readonly attack: string;
  readonly tried: string;
  /** Where the attacker stands: `team-a/app-a (its certificate)`. */
  readonly from: string;
  readonly target: string;
  /** How many variants this line stands for. */
  readonly tries: number;
  /** What the decision function says about it. */
  readonly promised: string;
  /** The legitimate variant on the same way, and what became of it. */
  readonly control: string;
  readonly happened: string;
  readonly outcome: Outcome;
  /** Who refused, by which layer and policy, as the flow log tells. */
  readonly stoppedBy?: string;
  /** Whether a flow record of it was found; null where there was nothing to log. */
  readonly logged: boolean | null;
  readonly evidence: Evidence;
  readonly finding?: string;
  readonly fix?: string;
}

/** One attempt with its place: planned before anything is sent. */
export interface AttackStep {
  readonly tried: string;
  readonly from: string;
  readonly target: string;
  readonly run: () => Promise<readonly AttackResult[]>;
}

/** One attack. */
export interface Attack {
  /** Its name for `--only`, lower case, the row's. */
  readonly id: string;
  readonly title: string;
  /** Rows that it covers, as users' threat lists call them. */
  readonly rows: readonly string[];
  /** What a mesh must have for it, in a sentence. */
  readonly needs: string;
  /** Steps that must not run beside each other. */
  readonly sequential?: boolean;
  /** What there is to attack in this mesh. No steps: it is reported as not possible here, with `needs`. */
  plan(mesh: MeshUnderAttack): readonly AttackStep[] | Promise<readonly AttackStep[]>;
}
